//! TLS for the group reader, by rustls.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::access::TlsFiles;
use super::trouble::Trouble;

/// The client's side of TLS, made once per set of files.
pub(super) fn connector(files: &TlsFiles) -> Result<TlsConnector, Trouble> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::Credentials(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(authorities(files.authorities.as_deref())?);
    let config = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| Trouble::Credentials(format!("tls.keyFile holds no usable key: {error}")))?;
            config.with_client_auth_cert(chain(certificate, "certificateFile")?, key).map_err(|error| {
                Trouble::Credentials(format!("the client certificate is not usable: {error}"))
            })?
        }
        (None, None) => config.with_no_client_auth(),
        (Some(_), None) => {
            return Err(Trouble::Credentials("tls.certificateFile needs tls.keyFile beside it".into()));
        }
        (None, Some(_)) => {
            return Err(Trouble::Credentials("tls.keyFile needs tls.certificateFile beside it".into()));
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Shakes hands; the certificate must name `host`.
pub(super) async fn handshake(
    connector: &TlsConnector,
    host: &str,
    address: &str,
    socket: TcpStream,
) -> Result<TlsStream<TcpStream>, Trouble> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| Trouble::Resolve { host: host.to_owned() })?;
    connector.connect(name, socket).await.map_err(|error| {
        let trouble = Trouble::io(address, &error);
        if let Trouble::Closed { address, .. } = trouble {
            return Trouble::Closed {
                address,
                hint: " during the TLS handshake: is it a plain-text listener?",
            };
        }
        trouble
    })
}

fn authorities(pem: Option<&[u8]>) -> Result<RootCertStore, Trouble> {
    let mut store = RootCertStore::empty();
    let certificates = match pem {
        Some(pem) => chain(pem, "caFile")?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    store.add_parsable_certificates(certificates);
    if store.is_empty() {
        return Err(Trouble::Credentials("no trusted authority found: set tls.caFile".into()));
    }
    Ok(store)
}

fn chain(pem: &[u8], field: &str) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Trouble::Credentials(format!("tls.{field} is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(Trouble::Credentials(format!("tls.{field} holds no certificate")));
    }
    Ok(certificates)
}
