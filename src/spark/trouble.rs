//! What can be wrong with a driver's answers: the cause and the cure in one line.

/// One cause, as a person should read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(
        "the driver's UI at {url} cannot be reached ({cause}): does the application run, and is `driver` its UI?"
    )]
    Unreachable { url: String, cause: String },
    #[error("the driver's UI at {url} does not answer within {timeout:?}")]
    Silent { url: String, timeout: std::time::Duration },
    #[error("{url} redirects ({code}): name the driver's own UI in `driver`, not a proxy before it")]
    Redirected { url: String, code: u16 },
    #[error(
        "{url} answers HTML instead of JSON: `driver` names a master, a worker or a login page; the driver's UI listens on spark.ui.port (4040 unless set)"
    )]
    Html { url: String },
    #[error("{url} asks for a login ({code}): spark.ui.filters guards the UI, let Tidegate pass")]
    Login { url: String, code: u16 },
    #[error("{url} answers {code}")]
    Status { url: String, code: u16 },
    #[error("{url} answers something else than the driver's UI does: {cause}")]
    Strange { url: String, cause: String },
    #[error("the driver's UI at {url} knows no application")]
    NoApplication { url: String },
    #[error("the application {app} has ended")]
    Ended { app: String },
    #[error("the driver runs no query named {query} but {others}: check `query` against its queryName")]
    QueryMissing { query: String, others: String },
}

/// What keeps figures back that the query's progress does not depend on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gap {
    #[error("no figures of its batches: start the query with queryName, and name it in `query`")]
    NoName,
    #[error("no figures of its batches: set spark.sql.streaming.metricsEnabled=true")]
    MetricsOff,
    #[error("no figures of its batches: {0}")]
    Metrics(Trouble),
}
