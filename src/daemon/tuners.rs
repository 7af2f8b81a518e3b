//! What self-tuning knows of every workload, between the tasks that feed it, the one that looks and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::policy::notches::{Notches, SelfTuning};
use crate::policy::{Mode, Rules, WorkloadId};
use crate::record::Turn;
use crate::tune::choice::{self, Choice};
use crate::tune::glimpse::Glimpse;
use crate::tune::history::{HOUR_BYTES, HOURS};
use crate::tune::tuner::{Look, Report, Tuner};

/// The shared shelf of tuners. Cheap to clone; every clone is the same shelf.
#[derive(Debug, Clone, Default)]
pub struct Tuners(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    tuners: BTreeMap<WorkloadId, Tuner>,
    /// What each was last decided by, of those that have taken a turn since the start.
    rules: BTreeMap<WorkloadId, Rules>,
}

/// A look at one workload's neighbours that is due.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) id: WorkloadId,
    pub(super) rules: Rules,
    pub(super) look: Look,
}

impl Tuners {
    /// A shelf with what a store held.
    pub fn new(tuners: BTreeMap<WorkloadId, Tuner>) -> Self {
        Self(Arc::new(Mutex::new(Shelf { tuners, ..Shelf::default() })))
    }

    /// How far a workload's preset is turned.
    pub fn notches(&self, id: &WorkloadId, rules: &Rules) -> Notches {
        self.lock().tuners.get(id).map_or_else(Notches::default, |tuner| tuner.notches(rules))
    }

    /// What there is to say of a workload; nothing where its policy does not ask for it.
    pub fn report(&self, id: &WorkloadId, rules: &Rules) -> Option<Report> {
        let shelf = self.lock();
        let tuner = shelf.tuners.get(id).filter(|_| rules.tuning == SelfTuning::Auto);
        tuner.map(|tuner| tuner.report(rules))
    }

    /// Takes in a turn, where its policy asks for it.
    pub fn note(&self, turn: &Turn) {
        if turn.rules.tuning == SelfTuning::Off {
            self.lock().rules.remove(&turn.workload);
            return;
        }
        let applied = turn.mode == Mode::Apply && !turn.rules.paused;
        let glimpse = Glimpse::of(&turn.observation, &turn.decision, applied);
        let mut shelf = self.lock();
        shelf.tuners.entry(turn.workload.clone()).or_default().note(&glimpse, turn.at);
        shelf.rules.insert(turn.workload.clone(), turn.rules.clone());
    }

    /// Forgets every workload but these.
    pub fn retain(&self, ids: &BTreeSet<WorkloadId>) {
        let mut shelf = self.lock();
        shelf.tuners.retain(|id, _| ids.contains(id));
        shelf.rules.retain(|id, _| ids.contains(id));
    }

    /// The look that is due for longest, if one is.
    pub(super) fn due(&self, now: Timestamp) -> Option<Due> {
        let shelf = self.lock();
        let all = shelf.tuners.iter().filter_map(|(id, tuner)| {
            let rules = shelf.rules.get(id)?;
            Some((tuner.looked(), id, rules, tuner.due(rules, now)?))
        });
        let (_, id, rules, look) = all.min_by_key(|(looked, ..)| *looked)?;
        Some(Due { id: id.clone(), rules: rules.clone(), look })
    }

    /// Takes in what a look came to. Says what was turned.
    pub(super) fn settle(&self, due: &Due, choice: Choice, now: Timestamp) -> Option<choice::Turn> {
        // It may have gone in the meantime.
        self.lock().tuners.get_mut(&due.id)?.settle(&due.rules, choice, now)
    }

    /// Everything, to be stored within so many bytes: where there is no room for all hours, the oldest go.
    pub fn snapshot(&self, room: usize) -> BTreeMap<WorkloadId, Tuner> {
        let mut all = self.lock().tuners.clone();
        // Shards fill unevenly.
        let hours = room / 2 / all.len().max(1) / HOUR_BYTES;
        if hours < HOURS {
            for tuner in all.values_mut() {
                tuner.shorten(hours);
            }
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // No code panics while it holds the lock; and a map is whole whatever happens.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
