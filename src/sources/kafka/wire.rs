//! One connection to one broker, speaking Kafka's protocol. Only what the group reader needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::access::Login;
use super::trouble::Trouble;
use super::{sasl, tls};
use crate::sources::meter::Meter;

/// How long a broker may take to accept, to shake hands or to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The largest answer that is believed: a thousand groups of a thousand partitions. Text of another
/// protocol, read as a length, is far more.
const FRAME_LIMIT: usize = 64 << 20;
/// The broker cannot read the version that was asked in.
const UNSUPPORTED_VERSION: i16 = 35;

trait Pipe: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Pipe for T {}

/// What every connection of a cluster shares.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) tls: Option<TlsConnector>,
    pub(super) login: Option<Login>,
    pub(super) meter: Arc<Meter>,
}

/// A connection that has logged in and knows the broker's versions. Of no use after an error.
pub(super) struct Wire {
    address: String,
    pipe: Box<dyn Pipe>,
    calls: i32,
    versions: BTreeMap<i16, (i16, i16)>,
    meter: Arc<Meter>,
}

impl Wire {
    /// Connects, shakes hands, learns the broker's versions and logs in.
    pub(super) async fn open(address: &str, door: &Door) -> Result<Self, Trouble> {
        let pipe = timeout(PATIENCE, connect(address, door)).await.map_err(|_| silent(address))??;
        let mut wire = Self {
            address: address.to_owned(),
            pipe,
            calls: 0,
            versions: BTreeMap::new(),
            meter: Arc::clone(&door.meter),
        };
        wire.learn_versions().await?;
        if let Some(login) = &door.login {
            sasl::log_in(&mut wire, login).await?;
        }
        Ok(wire)
    }

    /// The address that the connection goes to.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The newest version of a request that both sides speak, up to `newest`.
    pub(super) fn version<R: Request>(&self, newest: i16) -> Option<i16> {
        let (low, high) = *self.versions.get(&R::KEY)?;
        let version = high.min(newest).min(R::VERSIONS.max);
        (version >= low && version >= R::VERSIONS.min).then_some(version)
    }

    /// Asks and waits for the answer.
    pub(super) async fn call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Trouble> {
        let header = <R::Response as HeaderVersion>::header_version(version);
        let mut answer = self.exchange(R::KEY, version, request, header).await?;
        <R::Response as Decodable>::decode(&mut answer, version).map_err(|_| self.not_kafka())
    }

    async fn learn_versions(&mut self) -> Result<(), Trouble> {
        let us = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("tidegate"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut answer = self.exchange(ApiVersionsRequest::KEY, 3, &us, 0).await?;
        // A broker that does not know version 3 says so in the form of version 0.
        let version = match answer.first_chunk() {
            Some(code) if i16::from_be_bytes(*code) == UNSUPPORTED_VERSION => {
                answer = self.exchange(ApiVersionsRequest::KEY, 0, &ApiVersionsRequest::default(), 0).await?;
                0
            }
            _ => 3,
        };
        let answer = ApiVersionsResponse::decode(&mut answer, version).map_err(|_| self.not_kafka())?;
        self.versions =
            answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(())
    }

    async fn exchange(
        &mut self,
        key: i16,
        version: i16,
        request: &impl Encodable,
        header_version: i16,
    ) -> Result<Bytes, Trouble> {
        self.meter.permit().await;
        self.calls = self.calls.wrapping_add(1);
        let frame = frame(key, version, self.calls, request).map_err(Trouble::Other)?;
        let answer =
            timeout(PATIENCE, self.round_trip(&frame)).await.map_err(|_| silent(&self.address))??;
        let mut answer = Bytes::from(answer);
        let header = ResponseHeader::decode(&mut answer, header_version).map_err(|_| self.not_kafka())?;
        if header.correlation_id == self.calls { Ok(answer) } else { Err(self.not_kafka()) }
    }

    async fn round_trip(&mut self, frame: &[u8]) -> Result<Vec<u8>, Trouble> {
        let failed = |error: std::io::Error| Trouble::io(&self.address, &error);
        self.pipe.write_all(frame).await.map_err(failed)?;
        self.pipe.flush().await.map_err(failed)?;
        let length = usize::try_from(self.pipe.read_i32().await.map_err(failed)?).unwrap_or(usize::MAX);
        if length > FRAME_LIMIT {
            return Err(self.not_kafka());
        }
        let mut answer = vec![0; length];
        self.pipe.read_exact(&mut answer).await.map_err(failed)?;
        Ok(answer)
    }

    fn not_kafka(&self) -> Trouble {
        Trouble::NotKafka { address: self.address.clone() }
    }
}

async fn connect(address: &str, door: &Door) -> Result<Box<dyn Pipe>, Trouble> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let mut targets = tokio::net::lookup_host(address)
        .await
        .map_err(|_| Trouble::Resolve { host: host.to_owned() })?
        .peekable();
    if targets.peek().is_none() {
        return Err(Trouble::Resolve { host: host.to_owned() });
    }
    let targets: Vec<_> = targets.collect();
    let socket = TcpStream::connect(&*targets).await.map_err(|error| Trouble::io(address, &error))?;
    socket.set_nodelay(true).map_err(|error| Trouble::io(address, &error))?;
    match &door.tls {
        None => Ok(Box::new(socket)),
        Some(connector) => Ok(Box::new(tls::handshake(connector, host, address, socket).await?)),
    }
}

fn frame(key: i16, version: i16, id: i32, request: &impl Encodable) -> Result<BytesMut, String> {
    let unreadable = |error| format!("a request could not be written: {error}");
    let header = RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(id)
        .with_client_id(Some(StrBytes::from_static_str("tidegate")));
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header).map_err(unreadable)?;
    request.encode(&mut body, version).map_err(unreadable)?;
    let length = i32::try_from(body.remaining()).map_err(|_| "a request is too long".to_owned())?;
    let mut frame = BytesMut::with_capacity(body.len() + 4);
    frame.put_i32(length);
    frame.extend_from_slice(&body);
    Ok(frame)
}

fn silent(address: &str) -> Trouble {
    Trouble::Silent { address: address.to_owned(), seconds: PATIENCE.as_secs() }
}
