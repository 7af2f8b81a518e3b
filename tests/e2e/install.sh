#!/usr/bin/env bash
# Installs the servers that the end-to-end suite runs into $TIDEGATE_CACHE (~/.cache/tidegate unless
# set): etcd, the Kubernetes control plane and Helm from Go modules, Kafka from Maven artifacts,
# Prometheus from Debian's package, Flink and the job that it runs from Maven
# artifacts, Spark from PyPI and its Kafka source from Maven. Every version is pinned beside this file. Whatever is there
# already is left alone: a stamp per part holds the hash of what it was made from.
#
#   install.sh             what the suite needs
#   install.sh keda        and KEDA, for the bench and the scenarios beside it
#   install.sh flink-peer  and what Flink's own autoscaler needs: PEER_JAR names its jar, dependencies.pom.xml
#                          lies beside it
#   install.sh spark-3.5   and Spark's older line, for scenarios by name
#   install.sh flink-2.3   and the Flink whose JobManagers tell of their rescales, for a scenario by name
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
cache=${TIDEGATE_CACHE:-$HOME/.cache/tidegate}
prometheus_version=2.42.0 # Debian 12's
mkdir -p "$cache/bin" "$cache/stamps"

say() { printf 'install: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# stamp FILE...: one hash over the contents.
stamp() { cat "$@" | sha256sum | cut -d' ' -f1; }
# current PART HASH FILE...: PART was made from HASH, and its files are there.
current() {
  local part=$1 hash=$2 file
  shift 2
  [ "$(cat "$cache/stamps/$part" 2>/dev/null)" = "$hash" ] || return 1
  for file; do [ -e "$cache/$file" ] || return 1; done
}
done_with() { printf '%s\n' "$2" >"$cache/stamps/$1"; }

apt_updated=
apt() {
  local packages=$*
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "missing: $packages. Run: sudo apt-get update && sudo apt-get install -y --no-install-recommends $packages"
  fi
  say "installing Debian packages: $packages"
  [ -n "$apt_updated" ] || apt-get update -qq >&2
  apt_updated=1
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}
# need COMMAND PACKAGE...: the packages bring the command.
need() {
  local command=$1
  shift
  command -v "$command" >/dev/null || apt "$@"
}

# go: a Go that can build what the go.mod files ask for. Debian 12's own is too old for that, but not too
# old to fetch a newer one: toolchains are modules too, checked against the public checksum database.
go_wanted=$(sed -n 's/^go //p' "$here"/tools/*/go.mod | sort -V | tail -n1)
new_enough() { [ "$(printf '%s\n%s\n' "$go_wanted" "$1" | sort -V | head -n1)" = "$go_wanted" ]; }
need_go() {
  local arch have module=golang.org/toolchain version
  [ ! -x "$cache/go-$go_wanted/bin/go" ] || PATH=$cache/go-$go_wanted/bin:$PATH
  need go golang-go
  have=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
  new_enough "${have#go}" && return
  arch=$(go env GOARCH)
  version=v0.0.1-go$go_wanted.linux-$arch
  say "$have is too old: fetching Go $go_wanted as the module $module (about 65 MB, kept in $cache)"
  (
    cd / && GOTOOLCHAIN=local GO111MODULE=on GOFLAGS= go mod download "$module@$version"
    rm -rf "$cache/go.new"
    cp -r "$(GOTOOLCHAIN=local go env GOMODCACHE)/$module@$version" "$cache/go.new"
  )
  # Modules carry no mode bits.
  chmod -R u+w "$cache/go.new"
  chmod +x "$cache"/go.new/bin/* "$cache/go.new/pkg/tool/linux_$arch"/*
  mv "$cache/go.new" "$cache/go-$go_wanted"
  PATH=$cache/go-$go_wanted/bin:$PATH
  hash -r
}

# build OUT PACKAGE...: static binaries from the module in the current folder.
build() {
  local out=$1
  shift
  CGO_ENABLED=0 GOFLAGS="-buildvcs=false ${GOFLAGS:-}" go build -trimpath -ldflags "-s -w ${link:-}" -o "$out" "$@"
}

kube() {
  local hash version major minor package link= source=$here/tools/kube
  hash=$(stamp "$source/go.mod" "$source/go.sum" "$source/etcd/main.go")
  current kube "$hash" bin/{etcd,kube-apiserver,kube-controller-manager,kubectl} && return
  need_go
  cd "$source"
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  say "building etcd and Kubernetes $version (about 6 minutes on 2 cores when nothing is cached)"
  IFS=. read -r major minor _ <<<"${version#v}"
  # Without these, clients see version 0.0.0.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    link+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  done
  build "$cache/bin/" ./etcd k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kubectl}
  done_with kube "$hash"
}

helm() {
  local hash source=$here/tools/helm
  hash=$(stamp "$source/go.mod" "$source/go.sum")
  current helm "$hash" bin/helm && return
  need_go
  cd "$source"
  say "building Helm $(go list -m -f '{{.Version}}' helm.sh/helm/v4) (about 2 minutes when nothing is cached)"
  build "$cache/bin/" helm.sh/helm/v4/cmd/helm
  done_with helm "$hash"
}

keda() {
  local hash version source=$here/tools/keda module=github.com/kedacore/keda/v2
  hash=$(stamp "$source/go.mod" "$source/go.sum")
  current keda "$hash" bin/keda-{operator,adapter} keda/crds && return
  need go golang-go
  cd "$source"
  version=$(go list -m -f '{{.Version}}' $module)
  say "building KEDA $version's operator and metrics adapter (about 10 minutes on 2 cores and 6 GB of Go's caches when nothing is cached)"
  build "$cache/bin/keda-operator" $module/cmd/operator
  build "$cache/bin/keda-adapter" $module/cmd/adapter
  rm -rf "$cache/keda"
  mkdir -p "$cache/keda"
  cp -r "$(go list -m -f '{{.Dir}}' $module)/config/crd/bases" "$cache/keda/crds"
  chmod -R u+w "$cache/keda"
  printf '%s\n' "$version" >"$cache/keda/version"
  done_with keda "$hash"
}

kafka() {
  local hash source=$here/tools/kafka
  hash=$(stamp "$source/pom.xml")
  current kafka "$hash" kafka/lib && return
  need mvn maven
  say "fetching Kafka $(sed -n 's:.*<kafka.version>\(.*\)</.*:\1:p' "$source/pom.xml") (47 jars, 44 MB)"
  rm -rf "$cache/kafka"
  mvn -q -B -ntp -f "$source/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$cache/kafka/lib" >&2
  done_with kafka "$hash"
}

# flink LINE VERSION CONNECTOR CONTAINER: the jars of a JobManager and its TaskManagers with the Kafka connector, and the
# suite's job.
flink() {
  local hash work source=$here/flink-job line=$1
  hash=$( (stamp "$source/pom.xml" "$source"/src/main/java/dev/tidegate/e2e/*.java && echo "$@") | sha256sum | cut -d' ' -f1)
  current "flink-$line" "$hash" "flink-$line"/{lib,job.jar} && return
  need javac openjdk-17-jdk-headless
  need mvn maven
  say "fetching Flink $2 with its Kafka connector (51 jars, 89 MB) and building the job"
  rm -rf "$cache/flink-$line"
  work=$(mktemp -d)
  cp -r "$source/pom.xml" "$source/src" "$work"
  mvn -q -B -ntp -f "$work/pom.xml" "-Dflink.version=$2" "-Dconnector.version=$3" "-Dcontainer.version=$4" package \
    dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/flink-$line/lib" >&2
  install -m 644 "$work/target/job.jar" "$cache/flink-$line/job.jar"
  rm -rf "$work"
  done_with "flink-$line" "$hash"
}

flink_peer() {
  local hash pom
  [ -n "${PEER_JAR:-}" ] || die "PEER_JAR names no jar (docs/flink-bench.md says where it comes from)"
  pom=$(cd "$(dirname "$PEER_JAR")" && pwd)/dependencies.pom.xml
  [ -r "$pom" ] || die "$pom is missing"
  hash=$(stamp "$pom")
  current flink-peer "$hash" flink-peer && return
  need mvn maven
  say "fetching what Flink's own autoscaler needs"
  rm -rf "$cache/flink-peer"
  mvn -q -B -ntp -f "$pom" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$cache/flink-peer" >&2
  done_with flink-peer "$hash"
}

prometheus() {
  local work=
  current prometheus "$prometheus_version" bin/prometheus && return
  need dpkg dpkg
  say "unpacking Prometheus $prometheus_version from Debian's package (19 MB, not installed as a service)"
  work=$(mktemp -d)
  cd "$work"
  # Root downloads as the user _apt, who must be able to write here.
  chmod 755 "$work"
  apt-get -qq download prometheus >/dev/null 2>&1 ||
    { apt-get -qq update >&2 && apt-get -qq download prometheus >&2; }
  dpkg -x prometheus_*.deb root
  case $(./root/usr/bin/prometheus --version 2>&1) in
    *"version $prometheus_version"*) ;;
    *) say "note: this Debian has another Prometheus than $prometheus_version" ;;
  esac
  install -m 755 root/usr/bin/prometheus root/usr/bin/promtool "$cache/bin/"
  cd / && rm -rf "$work"
  done_with prometheus "$prometheus_version"
}

# spark LINE SCALA: PyPI's pyspark is a source archive that holds every jar: unpacking is all it takes.
spark() {
  local hash version line=$1 work=$cache/$1.new source=$here/tools/$1
  hash=$(stamp "$source/pom.xml")
  current "$line" "$hash" "$line"/{jars,python} && return
  need mvn maven
  need python3 python3
  need pip python3-pip
  version=$(sed -n 's:.*<spark.version>\(.*\)</.*:\1:p' "$source/pom.xml")
  say "fetching Spark $version (300 to 430 MB) and its Kafka source (about a minute)"
  rm -rf "${cache:?}/$line" "$work"
  mkdir -p "$work/download" "$work/unpacked"
  pip download -q --no-deps --no-binary :all: -d "$work/download" "pyspark==$version" >&2
  tar -xzf "$work"/download/pyspark-*.tar.gz -C "$work/unpacked" --strip-components=1 \
    --wildcards '*/deps/jars' '*/pyspark' '*/lib' --exclude='*/pyspark/*/tests'
  mv "$work/unpacked/deps/jars" "$work/jars"
  mkdir -p "$work/python"
  mv "$work/unpacked/pyspark" "$work/unpacked/lib" "$work/python/"
  # The rest of what the Kafka source needs is among Spark's own jars.
  mvn -q -B -ntp -f "$source/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/jars" \
    -DincludeArtifactIds="spark-sql-kafka-0-10_$2,spark-token-provider-kafka-0-10_$2,kafka-clients,commons-pool2" >&2
  rm -rf "$work/download" "$work/unpacked"
  mv "$work" "$cache/$line"
  done_with "$line" "$hash"
}

# The definitions of the kubeflow operator's applications come with its Go module.
crds() {
  local from version=v2.5.2
  current crds "$version" crds/sparkoperator.k8s.io_scheduledsparkapplications.yaml && return
  need go golang-go
  say "fetching the custom resource definitions of spark-operator $version"
  from=$(cd / && GOFLAGS=-mod=mod go mod download -json "github.com/kubeflow/spark-operator/v2@$version" |
    sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
  mkdir -p "$cache/crds"
  install -m 644 "$from"/config/crd/bases/sparkoperator.k8s.io_{,scheduled}sparkapplications.yaml "$cache/crds/"
  done_with crds "$version"
}

# The Apache operator's definitions are in no registry: a folder of them is used where there is one, and else the suite
# makes do with smaller ones of its own.
spark_apache_crds() {
  local from=${SPARK_APACHE_CRDS:-$here/../../../shared/crds/spark-apache}
  [ -d "$from" ] || return 0
  mkdir -p "$cache/crds"
  install -m 644 "$from"/*.spark.apache.org-v1.yaml "$cache/crds/"
}

# Those of the Flink Kubernetes Operator come with its API's Maven artifact.
flink_crds() {
  local version=1.10.0 work
  current flink-crds "$version" crds/flink{deployments,sessionjobs,statesnapshots}.flink.apache.org-v1.yml && return
  need jar openjdk-17-jdk-headless
  need mvn maven
  say "fetching the custom resource definitions of the Flink Kubernetes Operator $version"
  work=$(mktemp -d)
  mvn -q -B -ntp org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    "-Dartifact=org.apache.flink:flink-kubernetes-operator-api:$version" "-DoutputDirectory=$work" >&2
  (cd "$work" && jar xf ./*.jar META-INF/fabric8)
  mkdir -p "$cache/crds"
  install -m 644 "$work"/META-INF/fabric8/flink*.flink.apache.org-v1.yml "$cache/crds/"
  rm -rf "$work"
  done_with flink-crds "$version"
}

[ "$(uname -s)" = Linux ] || die "the end-to-end suite runs on Linux only"
[ -r /etc/ssl/certs/ca-certificates.crt ] || apt ca-certificates
need java openjdk-17-jre-headless
need openssl openssl
need setpriv util-linux
(kube)
(helm)
(kafka)
(prometheus)
(flink 2.2 2.2.1 5.0.0-2.2 2.1.0)
(flink 1.20 1.20.5 3.4.0-1.20 1.20.0)
(spark spark 2.13)
(crds)
(spark_apache_crds)
(flink_crds)
for part; do
  case $part in
    keda) (keda) ;;
    flink-peer) (flink_peer) ;;
    spark-3.5) (spark spark-3.5 2.12) ;;
    # Flink 2.2's connector is the newest, and runs on it.
    flink-2.3) (flink 2.3 2.3.0 5.0.0-2.2 2.1.0) ;;
    *) die "there is no part $part" ;;
  esac
done
say "everything is there: $cache"
