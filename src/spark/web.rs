//! Answers of Spark's web servers: JSON, or what is wrong with them.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use super::trouble::Trouble;

/// The longest answer that is read.
const LONGEST: usize = 8 << 20;

/// One server.
pub(super) struct Web {
    pub(super) url: String,
    client: reqwest::Client,
    timeout: Duration,
    limiter: DefaultDirectRateLimiter,
}

impl Web {
    /// A server at `url`. Nothing is asked yet.
    pub(super) fn new(
        url: &str,
        timeout: Duration,
        requests_per_second: u32,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .build()?;
        let url = url.trim_end_matches('/').to_owned();
        let quota = Quota::per_second(NonZeroU32::new(requests_per_second).unwrap_or(NonZeroU32::MIN));
        Ok(Self { url, client, timeout, limiter: DefaultDirectRateLimiter::direct(quota) })
    }

    /// What it answers.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.limiter.until_ready().await;
        let answer = self.client.get(format!("{}{path}", self.url)).send().await;
        let mut answer = answer.map_err(|error| self.failed(&error))?;
        let (url, status) = (self.url.clone(), answer.status());
        let code = status.as_u16();
        let html =
            answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Trouble::Login { url, code }),
            status if status.is_redirection() => return Err(Trouble::Redirected { url, code }),
            _ if html => return Err(Trouble::Html { url }),
            status if !status.is_success() => return Err(Trouble::Status { url, code }),
            _ => {}
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + chunk.len() > LONGEST {
                return Err(Trouble::Strange { url, cause: "it is far too long".to_owned() });
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|error| {
            if body.trim_ascii_start().first() == Some(&b'<') {
                Trouble::Html { url }
            } else {
                Trouble::Strange { url, cause: error.to_string().chars().take(120).collect() }
            }
        })
    }

    /// The status that it answers to a form.
    pub(super) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<u16, Trouble> {
        self.limiter.until_ready().await;
        // Servlets read these from the address as well.
        let answer = self.client.post(format!("{}{path}", self.url)).query(form).send().await;
        answer.map(|answer| answer.status().as_u16()).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &reqwest::Error) -> Trouble {
        let url = self.url.clone();
        if error.is_timeout() {
            return Trouble::Silent { url, timeout: self.timeout };
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Trouble::Unreachable { url, cause: cause.to_string().chars().take(120).collect() }
    }
}
