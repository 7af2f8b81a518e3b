//! KEDA's `prometheus` trigger.

use super::Carried;
use crate::cli::import::connections::{Connections, Prometheus, plain_url};
use crate::cli::import::keda::Trigger;
use crate::cli::import::notes::{Notes, Refusal};
use crate::cli::import::options::Options;
use crate::policy::source::{Meaning, PrometheusQuery, SourceSpec};

/// The trigger at a dotted path as a source. That its value is a backlog is a guess, which the caller
/// may replace.
pub(super) fn map(
    trigger: &Trigger,
    path: &str,
    connections: &mut Connections,
    notes: &mut Notes,
) -> Result<Carried, Refusal> {
    let mut options = Options::of(trigger, path);
    let address = options.required("serverAddress")?;
    let query = options.required("query")?.to_owned();
    let threshold = options.number("threshold", 0.0)?.filter(|threshold| *threshold > 0.0);
    let wrong = || Refusal::new(options.at("threshold"), "expected a number above 0");
    let threshold = threshold.ok_or_else(wrong)?;
    let activation = options.number("activationThreshold", f64::MIN)?.unwrap_or(0.0).max(0.0);
    let server = server(trigger, address, &mut options, connections, notes)?;
    if options.flag("ignoreNullValues", true, notes) {
        notes.note(
            options.at("ignoreNullValues"),
            "an empty answer is unknown here, not 0: where it means none, append ` or vector(0)` to the query",
        );
    }
    if options.take("timeout").is_some() {
        notes.note(options.at("timeout"), "all sources have the settings' limits.sourceTimeout");
    }
    options.tell_rest(notes);
    let source = SourceSpec::Prometheus(PrometheusQuery { server, query, means: Meaning::Backlog });
    Ok(Carried { path: path.to_owned(), source, threshold, activation, partitions: None })
}

/// The name of the trigger's server, after noting how to get in.
fn server(
    trigger: &Trigger,
    address: &str,
    options: &mut Options<'_>,
    connections: &mut Connections,
    notes: &mut Notes,
) -> Result<String, Refusal> {
    let (url, secret) = plain_url(address);
    let at = options.at("serverAddress");
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        return Err(Refusal::new(at, "expected http://HOST[:PORT] or https://HOST[:PORT]"));
    }
    let nobody = || Refusal::new(at.clone(), "no server");
    let server = connections.prometheus(&url).ok_or_else(nobody)?;
    if secret {
        notes.lost(
            at,
            "credentials and parameters in the address: a bearer token in a file is supported instead",
        );
    }
    for name in ["namespace", "queryParameters", "customHeaders", "awsRegion", "identityOwner"] {
        if options.take(name).is_some() {
            notes.lost(options.at(name), "queries are sent as they are, without parameters or headers");
        }
    }
    if options.flag("unsafeSsl", false, notes) {
        server.ca = true;
        notes.lost(options.at("unsafeSsl"), "certificates are always verified: name the authority in caFile");
    }
    authentication(trigger, server, options, notes);
    Ok(server.name.clone())
}

fn authentication(trigger: &Trigger, server: &mut Prometheus, options: &mut Options<'_>, notes: &mut Notes) {
    let modes = options.take("authModes").unwrap_or_default();
    for mode in modes.split(',').map(str::trim).filter(|mode| !mode.is_empty()) {
        match mode {
            "bearer" => {
                server.bearer = true;
                let file = server.file("token");
                notes.task(options.at("authModes"), format!("the bearer token goes into {}", file.display()));
            }
            "basic" => {
                server.basic = true;
                let [user, password] = ["username", "password"].map(|name| server.file(name));
                notes.task(
                    options.at("authModes"),
                    format!("user and password go into {} and {}", user.display(), password.display()),
                );
            }
            "tls" => {
                server.ca = true;
                let file = server.file("ca.crt");
                notes.lost(
                    options.at("authModes"),
                    format!("no client certificates; the authority goes into {}", file.display()),
                );
            }
            _ => notes.lost(options.at("authModes"), "of all modes only `bearer` and `basic` are supported"),
        }
    }
    if let Some(reference) = &trigger.authentication_ref {
        let name = &server.name;
        notes.task(
            format!("{}.authenticationRef", options.path()),
            format!(
                "what {reference} holds goes into files, named at connections.prometheus.{name} of the \
                 settings: bearerTokenFile or basicAuth, caFile"
            ),
        );
    }
}
