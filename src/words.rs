//! What went wrong between us and the API server, in words that are safe to log.
//!
//! kube repeats what a credential plugin printed and what stands in a kubeconfig: both may hold a token.

use std::error::Error;

use kube::client::AuthError;
use kube::config::{InferConfigError, KubeconfigError};

/// A request's failure in words: the API server's own where it answered, else the causes.
pub(crate) fn of_kube(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match status.message.as_str() {
            "" => format!("the API server answered {}", status.code),
            message => message.to_owned(),
        };
    }
    let causes = error.source().map(causes).unwrap_or_default();
    let mut text = "the API server could not be asked".to_owned();
    for part in causes {
        if part == NO_CREDENTIALS {
            return part;
        }
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
    }
    text
}

/// An error with all of its causes, each said once.
pub(crate) fn of(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for part in causes(error) {
        if text.is_empty() {
            text = part;
        } else if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
    }
    text
}

const NO_CREDENTIALS: &str = "no credentials for the API server: see the kubeconfig or the ServiceAccount";

/// The error and its causes in words, up to the first that could hold a secret. What repeats that one is
/// left out as well.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let full = error.to_string();
        if let Some(safe) = safe(error) {
            parts.retain(|part| !part.contains(&full));
            parts.push(safe);
            break;
        }
        // It repeats its causes, of which the likelier one follows.
        if !error.is::<InferConfigError>() {
            parts.push(full);
        }
        next = error.source();
    }
    parts
}

/// What to say in place of an error that could repeat a secret.
fn safe(error: &(dyn Error + 'static)) -> Option<String> {
    if error.is::<AuthError>() {
        return Some(NO_CREDENTIALS.to_owned());
    }
    if matches!(error.downcast_ref(), Some(KubeconfigError::Parse(_))) {
        return Some("the kubeconfig is not the YAML that it should be".to_owned());
    }
    error.downcast_ref().map(of_kube)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{ExitStatus, Output};

    use kube::config::Kubeconfig;
    use kube::runtime::watcher;
    use rstest::rstest;

    use super::*;

    fn secret() -> AuthError {
        let stdout = b"token=s3cret".to_vec();
        let out = Output { status: ExitStatus::from_raw(256), stdout, stderr: Vec::new() };
        AuthError::AuthExecRun { cmd: "login".to_owned(), out: Box::new(out) }
    }

    #[rstest]
    #[case::plain(kube::Error::Auth(secret()))]
    #[case::from_a_layer(kube::Error::Service(Box::new(secret())))]
    fn what_a_credential_plugin_said_is_not_repeated(#[case] error: kube::Error) {
        assert_eq!(of_kube(&error), NO_CREDENTIALS);
        assert_eq!(of(&error), NO_CREDENTIALS);
        let watch = of(&watcher::Error::WatchStartFailed(error));
        assert!(!watch.contains("s3cret"), "{watch}");
    }

    #[test]
    fn what_stands_in_a_kubeconfig_is_not_repeated() {
        let error = Kubeconfig::from_yaml("users: s3cret").unwrap_err();
        assert_eq!(of(&error), "the kubeconfig is not the YAML that it should be");
    }

    #[test]
    fn causes_are_told() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = kube::Error::ReadEvents(refused);
        assert_eq!(of_kube(&error), "the API server could not be asked: connection refused");
        assert_eq!(of(&error), "the API server could not be asked: connection refused");
    }
}
