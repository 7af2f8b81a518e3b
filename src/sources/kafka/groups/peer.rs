//! A broker that behaves as told, for faults that are hard to show on a real one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, FindCoordinatorRequest, FindCoordinatorResponse, GroupId,
    ListGroupsResponse, OffsetFetchRequest, OffsetFetchResponse, ResponseHeader, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes, decode_request_header_from_buffer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the peer behaves.
pub(in crate::sources::kafka) struct Manners {
    /// The newest version of each request that it speaks.
    pub(in crate::sources::kafka) newest: BTreeMap<i16, i16>,
    /// The newest `ApiVersions` that it speaks.
    pub(in crate::sources::kafka) hello: i16,
    /// Partitions committed by each group: offset and error.
    pub(in crate::sources::kafka) commits: BTreeMap<String, Vec<(i64, i16)>>,
    /// Error of each group.
    pub(in crate::sources::kafka) errors: BTreeMap<String, VecDeque<i16>>,
    /// State of each listed group.
    pub(in crate::sources::kafka) states: BTreeMap<String, &'static str>,
    /// Address of each group's coordinator, where it is not this peer.
    pub(in crate::sources::kafka) coordinators: BTreeMap<String, String>,
    /// What was sent to log in with.
    pub(in crate::sources::kafka) logins: Vec<String>,
    /// How many of the next requests it hangs up on.
    pub(in crate::sources::kafka) hang_ups: usize,
    /// What it was asked.
    pub(in crate::sources::kafka) asked: Vec<ApiKey>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            newest: [
                (ApiKey::FindCoordinator, 6),
                (ApiKey::OffsetFetch, 10),
                (ApiKey::ListGroups, 5),
                (ApiKey::SaslAuthenticate, 2),
            ]
            .map(|(key, version)| (key as i16, version))
            .into(),
            hello: 4,
            commits: BTreeMap::new(),
            errors: BTreeMap::new(),
            states: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            logins: Vec::new(),
            hang_ups: 0,
            asked: Vec::new(),
        }
    }
}

/// A listening peer.
#[derive(Clone)]
pub(in crate::sources::kafka) struct Peer {
    pub(in crate::sources::kafka) address: String,
    pub(in crate::sources::kafka) manners: Arc<Mutex<Manners>>,
}

impl Peer {
    pub(in crate::sources::kafka) async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let peer = Self { address, manners: Arc::new(Mutex::new(manners)) };
        let serving = peer.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(socket));
            }
        });
        peer
    }

    /// What was asked since the last time.
    pub(in crate::sources::kafka) fn asked(&self) -> Vec<ApiKey> {
        std::mem::take(&mut self.manners.lock().unwrap().asked)
    }

    async fn serve(self, mut socket: TcpStream) {
        while let Ok(length) = socket.read_i32().await {
            let mut frame = vec![0; usize::try_from(length).unwrap()];
            socket.read_exact(&mut frame).await.unwrap();
            let Some(answer) = self.answer(Bytes::from(frame)) else { return };
            socket.write_i32(i32::try_from(answer.len()).unwrap()).await.unwrap();
            socket.write_all(&answer).await.unwrap();
        }
    }

    fn answer(&self, mut frame: Bytes) -> Option<BytesMut> {
        let header = decode_request_header_from_buffer(&mut frame).unwrap();
        let (key, version) = (ApiKey::try_from(header.request_api_key).unwrap(), header.request_api_version);
        let mut manners = self.manners.lock().unwrap();
        if let Some(left) = manners.hang_ups.checked_sub(1) {
            manners.hang_ups = left;
            return None;
        }
        manners.asked.push(key);
        let mut answer = BytesMut::new();
        if key == ApiKey::ApiVersions && version > manners.hello {
            answer.put_i32(header.correlation_id);
            let refusal = ApiVersionsResponse::default().with_error_code(35);
            refusal.encode(&mut answer, 0).unwrap();
            return Some(answer);
        }
        let reply = ResponseHeader::default().with_correlation_id(header.correlation_id);
        reply.encode(&mut answer, key.response_header_version(version)).unwrap();
        if key == ApiKey::ApiVersions {
            manners.versions().encode(&mut answer, version).unwrap();
        } else if key == ApiKey::FindCoordinator {
            let asked = FindCoordinatorRequest::decode(&mut frame, version).unwrap();
            self.coordinators(&manners, &asked, version).encode(&mut answer, version).unwrap();
        } else if key == ApiKey::OffsetFetch {
            let asked = OffsetFetchRequest::decode(&mut frame, version).unwrap();
            manners.offsets(&asked, version).encode(&mut answer, version).unwrap();
        } else if key == ApiKey::SaslHandshake {
            SaslHandshakeResponse::default().encode(&mut answer, version).unwrap();
        } else if key == ApiKey::SaslAuthenticate {
            let asked = SaslAuthenticateRequest::decode(&mut frame, version).unwrap();
            manners.logins.push(String::from_utf8(asked.auth_bytes.to_vec()).unwrap());
            SaslAuthenticateResponse::default().encode(&mut answer, version).unwrap();
        } else {
            assert_eq!(key, ApiKey::ListGroups, "nothing else is expected");
            manners.list().encode(&mut answer, version).unwrap();
        }
        Some(answer)
    }

    fn coordinators(
        &self,
        manners: &Manners,
        asked: &FindCoordinatorRequest,
        version: i16,
    ) -> FindCoordinatorResponse {
        let of = |group: &str| {
            let address = manners.coordinators.get(group).unwrap_or(&self.address);
            let (host, port) = address.rsplit_once(':').unwrap();
            (StrBytes::from_string(host.to_owned()), port.parse().unwrap())
        };
        if version < 4 {
            let (host, port) = of(&asked.key);
            return FindCoordinatorResponse::default().with_host(host).with_port(port);
        }
        let name = |key: &StrBytes| {
            let (host, port) = of(key);
            Coordinator::default().with_key(key.clone()).with_host(host).with_port(port)
        };
        FindCoordinatorResponse::default()
            .with_coordinators(asked.coordinator_keys.iter().map(name).collect())
    }
}

impl Manners {
    fn versions(&self) -> ApiVersionsResponse {
        let api = |(key, newest): (&i16, &i16)| {
            ApiVersion::default().with_api_key(*key).with_min_version(0).with_max_version(*newest)
        };
        ApiVersionsResponse::default().with_api_keys(self.newest.iter().map(api).collect())
    }

    fn offsets(&mut self, asked: &OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
        let topic = TopicName(StrBytes::from_static_str("t"));
        if version < 8 {
            let group = asked.group_id.to_string();
            let cell = |(index, (offset, error)): (i32, &(i64, i16))| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(index)
                    .with_committed_offset(*offset)
                    .with_error_code(*error)
            };
            let cells = (0..).zip(self.commits.get(&group).into_iter().flatten()).map(cell).collect();
            return OffsetFetchResponse::default().with_error_code(self.error(&group)).with_topics(vec![
                OffsetFetchResponseTopic::default().with_name(topic).with_partitions(cells),
            ]);
        }
        let groups = asked.groups.iter().map(|group| {
            assert_eq!(group.topics, None, "all topics are asked for");
            let name = group.group_id.to_string();
            let cell = |(index, (offset, error)): (i32, &(i64, i16))| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(index)
                    .with_committed_offset(*offset)
                    .with_error_code(*error)
            };
            let cells: Vec<_> = (0..).zip(self.commits.get(&name).into_iter().flatten()).map(cell).collect();
            let topics = (!cells.is_empty()).then(|| {
                OffsetFetchResponseTopics::default().with_name(topic.clone()).with_partitions(cells)
            });
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id.clone())
                .with_error_code(self.errors.get_mut(&name).and_then(VecDeque::pop_front).unwrap_or(0))
                .with_topics(topics.into_iter().collect())
        });
        OffsetFetchResponse::default().with_groups(groups.collect())
    }

    fn error(&mut self, group: &str) -> i16 {
        self.errors.get_mut(group).and_then(VecDeque::pop_front).unwrap_or(0)
    }

    fn list(&self) -> ListGroupsResponse {
        let listed = |(group, state): (&String, &&'static str)| {
            ListedGroup::default()
                .with_group_id(GroupId(StrBytes::from_string(group.clone())))
                .with_group_state(StrBytes::from_static_str(state))
        };
        ListGroupsResponse::default().with_groups(self.states.iter().map(listed).collect())
    }
}
