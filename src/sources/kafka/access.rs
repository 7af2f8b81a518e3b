//! How to get into a cluster: the contents of the credential files, read again at every sweep so that a
//! rotated secret is used without a restart.

use std::fmt;
use std::path::Path;

use super::trouble::Trouble;
use crate::policy::settings::{KafkaConnection, SaslMechanism};

/// Credentials as they stand in their files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// `None`: plain text.
    pub(super) tls: Option<TlsFiles>,
    /// `None`: nobody asks who we are.
    pub(super) sasl: Option<Login>,
}

/// PEM texts.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TlsFiles {
    /// Authorities to trust; the system's where absent.
    pub(super) authorities: Option<Vec<u8>>,
    /// Client certificate chain.
    pub(super) certificate: Option<Vec<u8>>,
    /// The client certificate's key.
    pub(super) key: Option<Vec<u8>>,
}

/// Who we are.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) mechanism: SaslMechanism,
    pub(super) user: String,
    pub(super) password: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("tls", &self.tls.is_some())
            .field("user", &self.sasl.as_ref().map(|login| &login.user))
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Reads every file that the connection names. Blocks on the disk.
    pub(super) fn load(connection: &KafkaConnection) -> Result<Self, Trouble> {
        let optional = |path: &Option<std::path::PathBuf>| path.as_deref().map(bytes).transpose();
        let tls = match &connection.tls {
            None => None,
            Some(tls) => Some(TlsFiles {
                authorities: optional(&tls.ca_file)?,
                certificate: optional(&tls.certificate_file)?,
                key: optional(&tls.key_file)?,
            }),
        };
        let sasl = match &connection.sasl {
            None => None,
            Some(sasl) => Some(Login {
                mechanism: sasl.mechanism,
                user: line(&sasl.username_file)?,
                password: line(&sasl.password_file)?,
            }),
        };
        Ok(Self { tls, sasl })
    }

    /// The user and the mechanism for sentences; empty without SASL.
    pub(super) fn principal(&self) -> (String, String) {
        self.sasl
            .as_ref()
            .map_or_else(Default::default, |login| (login.user.clone(), login.mechanism.to_string()))
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Trouble> {
    std::fs::read(path)
        .map_err(|error| Trouble::Credentials(format!("cannot read {}: {error}", path.display())))
}

/// A secret's text without the newline that editors and `echo` append.
fn line(path: &Path) -> Result<String, Trouble> {
    let text = String::from_utf8(bytes(path)?)
        .map_err(|_| Trouble::Credentials(format!("{} is not UTF-8 text", path.display())))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Trouble::Credentials(format!("{} is empty", path.display())));
    }
    Ok(text.to_owned())
}
