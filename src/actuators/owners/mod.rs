//! Who moves a field, from `metadata.managedFields` and `metadata.ownerReferences`. Pure.
//!
//! A policy that names a target is the operator's consent to take its fields over, once, from whoever
//! wrote them: nothing in `managedFields` tells a creator from a mover. That does not help against a
//! manager that would take them back at once, and what happens *after* we had a field can be told:
//!
//! - a manager that owns it by `Apply` states it in a manifest and will state it again at every sync:
//!   we yield from the first contact on, until it no longer owns the field alone. Handing it over takes
//!   two steps, since the API server drops (or, for an HPA's `maxReplicas`, refuses to drop) a field that
//!   nobody else owns: first `kubectl apply --server-side --field-manager=tidegate` with the field as it
//!   stands, then the manifest without the field;
//! - a manager that took it from us by `Update` (`kubectl scale`, `kubectl edit`, `helm upgrade`) may have
//!   done so once: we yield for [`YIELD`] from then on, and take the field over again. Of replicas the object
//!   itself does not tell ([`Tenure`]): that is kept with the workload's memory.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::flink::Work;

/// Our field manager.
pub const MANAGER: &str = "tidegate";

/// How long a change by somebody else's `Update` stands.
pub const YIELD: SignedDuration = SignedDuration::from_mins(30);

/// One manager of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The field manager's name.
    pub manager: String,
    /// It applies the field server-side, so it will state it again.
    pub applies: bool,
    /// When it last changed any of its fields. The API server keeps no time for entries written through
    /// the scale sub-resource.
    pub changed_at: Option<Timestamp>,
}

impl Owner {
    /// Whether this is us.
    pub fn is_us(&self) -> bool {
        self.manager == MANAGER
    }
}

/// What the owners of a field mean for a write of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody else owns it.
    Free,
    /// Others own it; we take it over.
    Adopt,
    /// Another manager took it from us, or would at its next sync.
    Yield {
        /// Which manager, of which field, and until when, in words.
        owner: String,
    },
}

impl Standing {
    /// The standing of a write that touches this field and another one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Yield { .. }, _) | (Self::Adopt, Self::Free | Self::Adopt) | (Self::Free, Self::Free) => {
                self
            }
            (Self::Adopt | Self::Free, Self::Yield { .. }) | (Self::Free, Self::Adopt) => other,
        }
    }
}

/// The managers of the field at `path` (names without `f:`), in the API server's order.
pub fn owners(meta: &ObjectMeta, path: &[&str]) -> Vec<Owner> {
    entries(meta)
        .filter(|entry| fields(entry).is_some_and(|fields| has(fields, path)))
        .map(|entry| Owner {
            manager: entry.manager.clone().unwrap_or_default(),
            applies: entry.operation.as_deref() == Some("Apply"),
            changed_at: entry.time.as_ref().map(|time| time.0),
        })
        .collect()
}

/// Whether we own the field at `path`, by the given operation.
pub fn we_own(meta: &ObjectMeta, operation: &str, path: &[&str]) -> bool {
    entries(meta).any(|entry| {
        entry.manager.as_deref() == Some(MANAGER)
            && entry.operation.as_deref() == Some(operation)
            && fields(entry).is_some_and(|fields| has(fields, path))
    })
}

/// What `owners` of `field` mean for us. `claimed`: we had the field before.
///
/// A field that we share was not taken from us: the other manager merely states the same value. Who
/// applies a field is yielded to whether it was ever ours or not.
pub fn standing(field: &str, owners: &[Owner], claimed: bool, now: Timestamp) -> Standing {
    let shared = owners.iter().any(Owner::is_us);
    let others = || owners.iter().filter(|owner| !owner.is_us());
    if others().next().is_none() {
        Standing::Free
    } else if shared {
        Standing::Adopt
    } else {
        let stands = others().filter(|owner| claimed || owner.applies);
        stands.map(|owner| yield_to(field, owner, now)).fold(Standing::Adopt, Standing::and)
    }
}

fn yield_to(field: &str, owner: &Owner, now: Timestamp) -> Standing {
    let manager = &owner.manager;
    if owner.applies {
        return Standing::Yield {
            owner: format!(
                "field manager {manager} (it applies {field}: hand the field over, then take it out of the manifest)"
            ),
        };
    }
    match owner.changed_at.and_then(|at| at.checked_add(YIELD).ok()) {
        Some(until) if now < until => Standing::Yield {
            owner: format!(
                "field manager {manager} (it changed {field} after us: yielding until {until:.0})"
            ),
        },
        Some(_) | None => Standing::Adopt,
    }
}

/// Our tenure of a field whose entries carry no time (those of the scale sub-resource) and vanish with
/// the field: after somebody else's write, nothing in the object says that it was ever ours, or since when
/// it is not. So it is kept over a restart. Lost, the field counts as never held, and is taken over once more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tenure {
    /// The object whose field was ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    /// Who has had it since it was ours, and when we first saw that.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    taken: BTreeMap<String, Timestamp>,
    /// What the vertices of a Flink job were seen to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) learnt: Option<Work>,
    /// Where it stands in this kind of object, as far as seen; seen again after a restart.
    #[serde(skip)]
    path: Option<Vec<String>>,
}

impl Tenure {
    /// Without what is only learnt, and may wait to be stored.
    #[must_use]
    pub fn urgent(self) -> Self {
        Self { learnt: None, ..self }
    }

    /// Forgets that we ever had the field: somebody else is known to move it.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// What the owners of the replicas of an object mean for us, given what was seen before.
    pub fn see(&mut self, meta: &ObjectMeta, now: Timestamp) -> Standing {
        self.path = written_path(meta).or_else(|| self.path.take());
        let path: Vec<&str> = match &self.path {
            Some(path) => path.iter().map(String::as_str).collect(),
            None => vec!["spec", "replicas"],
        };
        let (field, owners) = (format!(".{}", path.join(".")), owners(meta, &path));
        if owners.iter().any(Owner::is_us) {
            (self.uid, self.taken) = (meta.uid.clone(), BTreeMap::new());
            return standing(&field, &owners, true, now);
        }
        let claimed = self.uid.is_some() && self.uid == meta.uid;
        // They may leave the field and come back: that is another time.
        self.taken.retain(|manager, _| owners.iter().any(|owner| owner.manager == *manager));
        let owners: Vec<_> = owners.into_iter().map(|owner| self.date(owner, claimed, now)).collect();
        standing(&field, &owners, claimed, now)
    }

    /// Dates an owner by when we first saw it, where the API server does not say.
    fn date(&mut self, owner: Owner, claimed: bool, now: Timestamp) -> Owner {
        if !claimed {
            return owner;
        }
        let since = self.taken.entry(owner.manager.clone()).or_insert(now);
        let changed_at = Some(owner.changed_at.map_or(*since, |at| at.max(*since)));
        Owner { changed_at, ..owner }
    }
}

/// Where a kind keeps its replicas, as far as a write through the scale sub-resource shows it.
fn written_path(meta: &ObjectMeta) -> Option<Vec<String>> {
    let written = entries(meta).find(|entry| entry.subresource.as_deref() == Some("scale"))?;
    let mut path = Vec::new();
    let mut here = fields(written)?;
    while let Some((name, below)) = here.as_object().and_then(|map| map.iter().find(|(name, _)| *name != "."))
    {
        path.push(name.strip_prefix("f:")?.to_owned());
        here = below;
    }
    (!path.is_empty()).then_some(path)
}

/// The controller that an object belongs to: API group, kind and name.
pub fn controller(meta: &ObjectMeta) -> Option<(&str, &str, &str)> {
    let owner = meta.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))?;
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    Some((group, &owner.kind, &owner.name))
}

fn entries(meta: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    meta.managed_fields.iter().flatten()
}

fn fields(entry: &ManagedFieldsEntry) -> Option<&Value> {
    entry.fields_v1.as_ref().map(|fields| &fields.0)
}

fn has(fields: &Value, path: &[&str]) -> bool {
    path.iter().try_fold(fields, |here, name| here.get(format!("f:{name}"))).is_some()
}

#[cfg(test)]
mod tests;
