//! Damping state, and what is known of the targets, kept in ConfigMaps between restarts: `NAME-0`, `NAME-1`, ...
//!
//! Each workload has its shard, by a hash of its name. There is one writer; should somebody else have
//! written in between, the last word is ours: what is in memory is newer than what was stored.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::RecordError;
use crate::engine::Memory;
use crate::policy::WorkloadId;
use crate::policy::settings;

/// The most that a shard may hold: the API server takes objects up to 1 MiB, metadata included.
const MOST: usize = 900 * 1024;
/// The most shards that settings allow.
const SHARDS: u32 = 64;
/// The API's limit on a key.
const KEY: usize = 253;

/// A ConfigMap's contents.
type Data = BTreeMap<String, String>;

/// Reads and writes the memories of all workloads.
#[derive(Debug)]
pub struct MemoryStore {
    api: Api<ConfigMap>,
    name: String,
    shards: u32,
    /// Every shard as it was last read or written.
    known: BTreeMap<u32, Shard>,
}

#[derive(Debug, Clone, Default)]
struct Shard {
    /// `None` where there is no such ConfigMap.
    metadata: Option<ObjectMeta>,
    data: Data,
}

/// What is kept of one workload: the engine's memory, and what its target's actuator knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept<T> {
    /// What the engine remembers.
    pub memory: Memory,
    /// What is known of the target; nothing in entries of earlier versions.
    #[serde(default)]
    pub target: T,
}

/// One entry. The key is for people: the name is in here, too.
#[derive(Debug, Serialize, Deserialize)]
struct Entry<V> {
    #[serde(flatten)]
    workload: WorkloadId,
    #[serde(flatten)]
    kept: V,
}

impl MemoryStore {
    /// A store in `namespace`, the daemon's own, unless the settings name another.
    pub fn new(client: Client, namespace: &str, settings: &settings::MemoryStore) -> Self {
        let namespace = settings.namespace.as_deref().unwrap_or(namespace);
        Self {
            api: Api::namespaced(client, namespace),
            name: settings.name.clone(),
            shards: settings.shards.max(1),
            known: BTreeMap::new(),
        }
    }

    /// A store beside it, for histories: large, written seldom, and never in a memory's way.
    pub fn of_histories(client: Client, namespace: &str, settings: &settings::MemoryStore) -> Self {
        let mut store = Self::new(client, namespace, settings);
        store.name.push_str("-history");
        store
    }

    /// The bytes that all of it may take.
    pub fn room(&self) -> usize {
        usize::try_from(self.shards).unwrap_or(1) * MOST
    }

    /// Reads everything, also what an earlier run with more shards left. An entry that cannot be read
    /// is dropped: its workload starts afresh.
    pub async fn load<V: DeserializeOwned>(&mut self) -> Result<BTreeMap<WorkloadId, V>, RecordError> {
        for shard in 0..self.shards {
            let found = self.read(shard).await?;
            self.known.insert(shard, found);
        }
        for shard in self.shards..SHARDS {
            match self.read(shard).await {
                Ok(found) if found.metadata.is_some() => self.known.insert(shard, found),
                // They are created without gaps: none is behind this one.
                Ok(_) => break,
                // Rights end where the deployment's room for shards does.
                Err(error) if error.is_forbidden() => break,
                // Whether it holds memories is unknown, and unknown is not nothing.
                Err(error) => return Err(error),
            };
        }
        let mut memories = BTreeMap::new();
        let mut at_home = BTreeSet::new();
        for (shard, found) in &self.known {
            for entry in found.data.iter().filter_map(|(key, text)| self.entry(*shard, key, text)) {
                // Left in two shards by a crash while they were being rearranged: the right one counts.
                let home = self.shard_of(&entry.workload) == *shard;
                if home || !at_home.contains(&entry.workload) {
                    memories.insert(entry.workload.clone(), entry.kept);
                }
                if home {
                    at_home.insert(entry.workload);
                }
            }
        }
        Ok(memories)
    }

    /// Writes the shards whose contents changed. Where one fails the others are still written; the
    /// first problem is returned.
    pub async fn save<V: Serialize>(
        &mut self,
        memories: &BTreeMap<WorkloadId, V>,
    ) -> Result<(), RecordError> {
        let mut problem = None;
        for (shard, data) in self.changed(memories)? {
            if let Err(error) = self.write(shard, data).await {
                problem.get_or_insert(error);
            }
        }
        problem.map_or(Ok(()), Err)
    }

    /// The shards to write, those that lose an entry last: a crash in between leaves it twice, never
    /// nowhere.
    fn changed<V: Serialize>(
        &self,
        memories: &BTreeMap<WorkloadId, V>,
    ) -> Result<Vec<(u32, Data)>, RecordError> {
        let mut wanted: BTreeMap<u32, Data> =
            self.known.keys().copied().chain(0..self.shards).map(|shard| (shard, Data::new())).collect();
        for (workload, kept) in memories {
            let text = serde_json::to_string(&Entry { workload: workload.clone(), kept })
                .map_err(RecordError::EncodeMemory)?;
            wanted.entry(self.shard_of(workload)).or_default().insert(key(workload), text);
        }
        let nothing = Shard::default();
        let known = |shard: &u32| self.known.get(shard).unwrap_or(&nothing);
        let before = |shard: &u32| &known(shard).data;
        // Empty ones, too, once there is anything: `load` looks for leftovers up to the first gap.
        let some = !memories.is_empty();
        let missing = |shard: &u32| some && known(shard).metadata.is_none();
        let mut changed: Vec<_> =
            wanted.into_iter().filter(|(shard, data)| before(shard) != data || missing(shard)).collect();
        changed.sort_by_key(|(shard, data)| before(shard).keys().any(|key| !data.contains_key(key)));
        Ok(changed)
    }

    async fn write(&mut self, shard: u32, data: Data) -> Result<(), RecordError> {
        let bytes: usize = data.iter().map(|(key, text)| key.len() + text.len()).sum();
        if bytes > MOST {
            return Err(RecordError::MemoryTooLarge { name: self.name_of(shard), bytes });
        }
        let metadata = self.known.get(&shard).and_then(|known| known.metadata.clone());
        let written = match self.put(shard, metadata, &data).await {
            // Somebody else created, wrote or deleted it: once more, on what there is now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                let now = self.read(shard).await?;
                self.put(shard, now.metadata, &data).await
            }
            other => other,
        };
        let written = written.map_err(|error| RecordError::write_memory(self.name_of(shard), &error))?;
        self.known.insert(shard, Shard { metadata: Some(bare(written.metadata)), data });
        Ok(())
    }

    /// Creates the ConfigMap, or replaces exactly the version that `metadata` is of.
    async fn put(
        &self,
        shard: u32,
        metadata: Option<ObjectMeta>,
        data: &Data,
    ) -> Result<ConfigMap, kube::Error> {
        let name = self.name_of(shard);
        let exists = metadata.is_some();
        let mut metadata =
            metadata.unwrap_or_else(|| ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() });
        metadata
            .labels
            .get_or_insert_default()
            .insert("app.kubernetes.io/managed-by".to_owned(), "tidegate".to_owned());
        let map = ConfigMap { metadata, data: Some(data.clone()), ..ConfigMap::default() };
        let params = PostParams { field_manager: Some("tidegate".to_owned()), ..PostParams::default() };
        if exists {
            self.api.replace(&name, &params, &map).await
        } else {
            self.api.create(&params, &map).await
        }
    }

    async fn read(&self, shard: u32) -> Result<Shard, RecordError> {
        let name = self.name_of(shard);
        let found = self.api.get_opt(&name).await;
        let found = found.map_err(|error| RecordError::read_memory(name, &error))?;
        Ok(found.map_or_else(Shard::default, |map| Shard {
            metadata: Some(bare(map.metadata)),
            data: map.data.unwrap_or_default(),
        }))
    }

    fn entry<V: DeserializeOwned>(&self, shard: u32, key: &str, text: &str) -> Option<Entry<V>> {
        serde_json::from_str(text)
            .inspect_err(|problem| {
                let config_map = self.name_of(shard);
                warn!(config_map, key, %problem, "a memory cannot be read: its workload starts afresh");
            })
            .ok()
    }

    fn name_of(&self, shard: u32) -> String {
        format!("{}-{shard}", self.name)
    }

    fn shard_of(&self, workload: &WorkloadId) -> u32 {
        let shard = hash(&workload.to_string()) % u64::from(self.shards);
        u32::try_from(shard).unwrap_or_default()
    }
}

/// What is worth sending back: the rest is the API server's.
fn bare(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta { managed_fields: None, ..metadata }
}

/// `namespace.name` where the API takes it as a key; else a hash, which no namespace can look like.
fn key(workload: &WorkloadId) -> String {
    let plain = format!("{}.{}", workload.namespace, workload.name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if plain.len() <= KEY && plain.bytes().all(allowed) {
        plain
    } else {
        format!("-.{:016x}", hash(&workload.to_string()))
    }
}

fn hash(text: &str) -> u64 {
    fnv(text.bytes())
}

/// FNV-1a, 64 bits: the same on every machine and in every version.
pub(crate) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, name: &str) -> WorkloadId {
        WorkloadId { namespace: namespace.into(), name: name.into() }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // Test vectors of the FNV authors.
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_name_has_a_key_that_the_api_takes() {
        assert_eq!(key(&id("shop", "orders.v2")), "shop.orders.v2");
        assert_eq!(key(&id("shop", "or ders")), format!("-.{:016x}", hash("shop/or ders")));
        assert!(key(&id("shop", &"x".repeat(253))).starts_with("-."));
    }
}
