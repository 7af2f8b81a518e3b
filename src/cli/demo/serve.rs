//! The daemon's HTTP endpoints over the demo's turns.

use std::net::SocketAddr;

use anyhow::Context;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::embedded::day::{Day, Tick};
use crate::record::Recorder;
use crate::record::board::{AcceptedPolicy, Board, ConnectionStatus, PolicyReport};
use crate::record::metrics::Metrics;
use crate::web;

/// The endpoints while they are up.
#[derive(Debug)]
pub(super) struct Endpoints {
    recorder: Recorder,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl Endpoints {
    /// Listens at `address`. Port 0 takes a free one.
    pub(super) async fn open(address: SocketAddr, day: &Day, starts: Timestamp) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
        let address = listener.local_addr()?;
        let (board, metrics) = (Board::new(starts), Metrics::new());
        board.set_memory_loaded();
        let stop = CancellationToken::new();
        let router = web::router(board.clone(), metrics.clone(), None);
        let server = tokio::spawn(web::serve(listener, router, stop.clone()));
        let recorder = Recorder::new(board, metrics);
        recorder.policies(policies(day));
        recorder.connections(vec![ConnectionStatus {
            kind: "kafka".into(),
            name: "main".into(),
            healthy: Some(true),
            problem: None,
        }]);
        Ok(Self { recorder, address, stop, server })
    }

    /// Shows what the last turns brought.
    pub(super) fn record(&self, tick: &Tick) {
        tick.lanes.iter().for_each(|lane| self.recorder.record(&lane.turn));
    }

    /// Where they are.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keeps them up until somebody interrupts.
    pub(super) async fn stay(self) -> anyhow::Result<()> {
        tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
        self.stop.cancel();
        self.server.await.context("the HTTP endpoints")??;
        Ok(())
    }
}

fn policies(day: &Day) -> PolicyReport {
    let accepted = day.lanes().iter().map(|lane| {
        let policy = lane.policy();
        AcceptedPolicy {
            id: policy.id.clone(),
            origin: "the demo's scenario".into(),
            target: format!("{}/{}", policy.target.kind(), policy.target.name()),
            mode: policy.mode,
            last_good: false,
        }
    });
    PolicyReport { accepted: accepted.collect(), rejected: Vec::new() }
}
