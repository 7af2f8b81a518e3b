//! A running application that may be moved: by restarts where dynamic allocation is on, and by its executors' own set
//! where it is off.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::SparkBounds;
use super::allocator::Allocator;
use super::bounds::{Bounds, refuse};
use crate::actuators::api::ReadError;
use crate::actuators::owners::Tenure;
use crate::actuators::{ActuateError, Actuator, reading};
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetReading};

/// Moves one application, whichever way it can be moved.
#[derive(Debug)]
pub(in crate::actuators) struct RunningApplication {
    bounds: SparkBounds,
    /// Restarts are allowed.
    restarts: bool,
    allocator: Allocator,
    by: Mutex<By>,
}

/// What the last look was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Bounds,
    Executors,
}

impl RunningApplication {
    pub(in crate::actuators) fn new(bounds: SparkBounds, restarts: bool, allocator: Allocator) -> Self {
        Self { bounds, restarts, allocator, by: Mutex::new(By::Executors) }
    }

    fn by(&self) -> By {
        *self.by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, now: Timestamp) -> Result<TargetReading, ReadError> {
        let object = self.bounds.fetch().await?;
        let dynamic = Bounds::is_dynamic(self.bounds.kind, &object);
        let by = if dynamic { By::Bounds } else { By::Executors };
        *self.by.lock().unwrap_or_else(PoisonError::into_inner) = by;
        match by {
            By::Bounds if self.restarts => self.bounds.read(&object, now).await,
            By::Bounds => Err(ReadError::Unfit(
                "dynamic allocation is on, so its driver would set the number of executors again, and takes no new \
                 bounds while it runs: turn it off for scaleAllocator, or allow maxRung restart"
                    .to_owned(),
            )),
            By::Executors => {
                refuse(self.bounds.kind, &object).map_err(ReadError::Unfit)?;
                self.allocator.look(&object, now).await
            }
        }
    }
}

impl Actuator for RunningApplication {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        Box::pin(reading::look(now, self.bounds.what(), self.read(now)))
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        match self.by() {
            By::Bounds => self.bounds.apply(change, fence),
            By::Executors => Box::pin(self.allocator.write(change, fence)),
        }
    }

    fn tenure(&self) -> Tenure {
        self.allocator.tenure()
    }

    fn tend(&self, now: Timestamp) -> BoxFuture<'_, Result<(), ActuateError>> {
        match self.by() {
            By::Bounds => self.bounds.tend(now),
            By::Executors => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn rung(&self) -> Option<String> {
        match self.by() {
            By::Bounds => self.bounds.rung(),
            By::Executors => Some(self.allocator.on_rung()),
        }
    }

    fn plan(&self, change: &Change) -> Option<String> {
        match self.by() {
            By::Bounds => self.bounds.plan(change),
            By::Executors => self.allocator.plan(change.replicas),
        }
    }
}
