//! Prometheus over TLS, with certificates that `openssl` makes on the spot.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tidegate::engine::observation::{MetricReading, Quality, SourceReading};
use tidegate::policy::TimeSpan;
use tidegate::policy::source::SourceSpec;
use tidegate::sources::{Connections, Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout";

/// Runs `openssl` in `home`. Says whether it is there.
fn openssl(home: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.args(arguments.split_whitespace()).current_dir(home).stderr(Stdio::null());
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "openssl {arguments}");
            true
        }
        Err(_) => false,
    }
}

/// An authority `ca.pem`, another one, `other.pem`, and a certificate of the first for 127.0.0.1.
fn certificates(home: &Path) -> bool {
    let authority = |name: &str| {
        openssl(home, &format!("req -x509 {KEY} {name}.key -out {name}.pem -subj /CN={name} -days 30"))
    };
    if !(authority("ca") && authority("other")) {
        return false;
    }
    std::fs::write(home.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(home, &format!("req {KEY} server.key -out server.csr -subj /CN=server"))
        && openssl(
            home,
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 30 -extfile names",
        )
}

/// A server that answers 5 to whatever it is asked. Returns its URL.
async fn serve(home: &Path) -> String {
    let chain = CertificateDer::pem_file_iter(home.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(home.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // Who does not trust us hangs up.
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(socket.read_u8().await.unwrap());
            }
            let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000,"5"]}}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
            drop(socket.shutdown().await);
        }
    });
    url
}

async fn look(source: &dyn Source) -> MetricReading {
    match source.observe(Timestamp::from_second(1_700_000_000).unwrap()).await {
        SourceReading::Metric(reading) => reading,
        SourceReading::Backlog(reading) => panic!("{reading:?}"),
    }
}

#[tokio::test]
async fn prometheus_is_trusted_by_its_authority_as_the_file_stands_now() {
    let files = tempfile::tempdir().unwrap();
    if !certificates(files.path()) {
        eprintln!("no openssl here: nothing is shown about TLS with Prometheus");
        return;
    }
    let (url, ca) = (serve(files.path()).await, files.path().join("trusted.pem"));
    std::fs::copy(files.path().join("other.pem"), &ca).unwrap();
    let server = json!({"prometheus": {"main": {"url": url, "caFile": ca}}});
    let connections = Connections::new(&super::settings(&server, &json!({}))).unwrap();
    let query = json!({"prometheus": {"server": "main", "query": "sum(lag)", "means": "backlog"}});
    let spec: SourceSpec = serde_json::from_value(query).unwrap();
    let source = connections.source(&spec, TimeSpan::from_secs(60), TimeSpan::from_secs(15)).unwrap();

    let refused = look(&*source).await;
    assert_eq!((refused.value, refused.quality), (None, Quality::Missing));
    let problem = refused.problem.unwrap();
    assert!(problem.starts_with(&format!("prometheus main: TLS with {url} failed")), "{problem}");
    assert!(problem.ends_with("check caFile"), "{problem}");
    assert_eq!(connections.status()[0].healthy, Some(false));

    std::fs::copy(files.path().join("ca.pem"), &ca).unwrap();
    let welcome = look(&*source).await;
    assert_eq!((welcome.value, welcome.quality, welcome.problem), (Some(5.0), Quality::Ok, None));
    assert_eq!(connections.status()[0].healthy, Some(true));

    std::fs::write(&ca, "no certificate").unwrap();
    let broken = look(&*source).await;
    assert_eq!(broken.problem.as_deref(), Some("prometheus main: caFile holds no usable certificate"));
}
