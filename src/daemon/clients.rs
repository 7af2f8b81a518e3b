//! The Kubernetes client: where the cluster is, how often it may be asked, and for how long we wait.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use super::DaemonError;
use crate::words;

/// How long the API server may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Which cluster to talk to; by default what `kubectl` would, or the cluster around us.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The kubeconfig file, where it is not the usual one.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context, where it is not the current one.
    pub context: Option<String>,
}

/// A client that asks at most `per_second` times a second. Nothing is sent yet.
pub async fn connect(access: &Access, per_second: u32) -> Result<Client, DaemonError> {
    let mut config = locate(access).await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    // The next turn is the retry: requests hidden in the client would escape the limit.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config)
        .map_err(|error| DaemonError::Client { problem: words::of_kube(&error) })?;
    Ok(builder.with_layer(&Limit::per_second(per_second)).build())
}

async fn locate(access: &Access) -> Result<Config, DaemonError> {
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    if let Some(file) = &access.kubeconfig {
        let unreadable = |error: KubeconfigError| DaemonError::Kubeconfig {
            file: file.clone(),
            problem: words::of(&error),
        };
        let kubeconfig = Kubeconfig::read_from(file).map_err(unreadable)?;
        return Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unreadable);
    }
    if let Some(context) = &access.context {
        return Config::from_kubeconfig(&options)
            .await
            .map_err(|error| DaemonError::Context { context: context.clone(), problem: words::of(&error) });
    }
    Config::infer().await.map_err(|error| DaemonError::NoCluster { problem: words::of(&error) })
}

/// Makes every request wait for its turn, then for its answer.
#[derive(Debug, Clone)]
struct Limit(Arc<DefaultDirectRateLimiter>);

impl Limit {
    fn per_second(requests: u32) -> Self {
        let quota = Quota::per_second(NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN));
        Self(Arc::new(RateLimiter::direct(quota)))
    }
}

impl<S> Layer<S> for Limit {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, limit: self.clone() }
    }
}

#[derive(Debug)]
struct Limited<S> {
    inner: S,
    limit: Limit,
}

impl<R, S> Service<R> for Limited<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The inner future sends nothing before it is polled.
        let answer = self.inner.call(request);
        let limit = self.limit.clone();
        Box::pin(async move {
            limit.0.until_ready().await;
            match tokio::time::timeout(ANSWER, answer).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("the API server did not answer within {}s", ANSWER.as_secs()).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers `()` never or at once.
    struct Server {
        silent: bool,
    }

    impl Service<()> for Server {
        type Response = ();
        type Error = BoxError;
        type Future = BoxFuture<'static, Result<(), BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            if self.silent { Box::pin(futures::future::pending()) } else { Box::pin(async { Ok(()) }) }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up() {
        let mut service = Limit::per_second(5).layer(Server { silent: true });
        let problem = service.call(()).await.unwrap_err().to_string();
        assert_eq!(problem, "the API server did not answer within 10s");
    }

    #[tokio::test]
    async fn the_limit_holds_back_what_exceeds_it() {
        let limit = Limit::per_second(2);
        let mut service = limit.layer(Server { silent: false });
        service.call(()).await.unwrap();
        service.call(()).await.unwrap();
        assert!(limit.0.check().is_err(), "two of two are used up");
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let access = Access { kubeconfig: Some("/no/such/kubeconfig".into()), context: None };
        let problem = connect(&access, 1).await.err().unwrap().to_string();
        assert!(problem.contains("/no/such/kubeconfig"), "{problem}");
    }
}
