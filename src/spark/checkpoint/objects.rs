//! Checkpoints on an object store: S3, Google Cloud Storage, Azure Blob Storage, or `WebDAV`.
//!
//! Credentials come from the environment that the store's own tools read, and from files; never from a policy, and
//! never into a message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{
    ClientConfigKey, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, RetryConfig,
};
use reqwest::Url;

use super::{LONGEST, Standing, Unknown, committed, offsets, pick};
use crate::policy::settings::ObjectStoreOptions;

/// How the crate begins to tell of an answer that is none.
const ANSWERED: &str = "non-2xx status code: ";

type Options = BTreeMap<String, String>;

/// Where an application's checkpoints lie.
pub(crate) struct Objects {
    url: String,
    options: ObjectStoreOptions,
    timeout: Duration,
    opened: Mutex<Option<Opened>>,
}

/// A store, and what it was opened with: credentials in files may change.
#[derive(Clone)]
struct Opened {
    with: Options,
    store: Arc<dyn ObjectStore>,
    root: Path,
}

impl Objects {
    /// Checkpoints below `url`. Asks nothing yet.
    pub(crate) fn new(url: &str, options: &ObjectStoreOptions, timeout: Duration) -> Self {
        Self { url: url.to_owned(), options: options.clone(), timeout, opened: Mutex::default() }
    }

    /// Reads a checkpoint, and an earlier batch that was committed at least `back` before the last one, or the earliest
    /// there is.
    pub(crate) async fn read(&self, checkpoint: &str, back: Duration) -> Result<Standing, Unknown> {
        let Opened { store, root, .. } = self.open()?;
        let top = Path::from(format!("{root}/{checkpoint}"));
        let shown = |file: &str| format!("{}/{checkpoint}/{file}", self.url.trim_end_matches('/'));
        let log = |log: &str| {
            let (path, shown) = (Path::from(format!("{top}/{log}")), shown(log));
            let store = Arc::clone(&store);
            async move { numbers(&*store, &path).await.map_err(|error| unknown(&shown, &error)) }
        };
        let (commits, plans) = futures::try_join!(log("commits"), log("offsets"))?;
        let picked =
            pick(&commits, back).ok_or_else(|| Unknown::NothingCommitted { path: shown("commits") })?;
        let file = |log: &str, batch: u64| {
            let (path, shown) =
                (Path::from(format!("{top}/{log}/{batch}")), shown(&format!("{log}/{batch}")));
            let store = Arc::clone(&store);
            async move { text(&*store, &path, &shown).await.map(|text| (text, shown)) }
        };
        let (commit, plan) =
            futures::try_join!(file("commits", picked.batch), file("offsets", picked.batch))?;
        committed(&commit.0, &commit.1)?;
        let plan = offsets(&plan.0, &plan.1)?;
        let before = match picked.before {
            Some((batch, at)) => {
                let earlier = file("offsets", batch).await.and_then(|(text, shown)| offsets(&text, &shown));
                earlier.ok().map(|planned| (batch, at, planned))
            }
            None => None,
        };
        let state = Path::from(format!("{top}/state"));
        let stateful = match store.list_with_delimiter(Some(&state)).await {
            Ok(found) => !found.common_prefixes.is_empty() || !found.objects.is_empty(),
            Err(Error::NotFound { .. }) => false,
            // Unknown is not stateless: its tasks may be what the size rests on.
            Err(error) => return Err(unknown(&shown("state"), &error)),
        };
        Ok(picked.standing(plan, plans.last().map(|(number, _)| *number), before, stateful))
    }

    /// The store, opened anew where a file with an option has changed.
    fn open(&self) -> Result<Opened, Unknown> {
        let failed = |cause: String| Unknown::NotReachable { path: self.url.clone(), cause };
        let mut with = self.options.options.clone();
        for (option, file) in &self.options.option_files {
            let text = std::fs::read_to_string(file);
            let text = text.map_err(|error| failed(format!("{}: {}", file.display(), error.kind())))?;
            with.insert(option.clone(), text.trim().to_owned());
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.as_ref().filter(|known| known.with == with) {
            return Ok(known.clone());
        }
        let (store, root) = build(&self.url, &with, self.timeout).map_err(|error| failed(cause(&error)))?;
        Ok(opened.insert(Opened { with, store, root }).clone())
    }
}

/// Makes a client of the store that `url` names, and the path there. Asks nothing yet.
fn build(url: &str, options: &Options, timeout: Duration) -> Result<(Arc<dyn ObjectStore>, Path), Error> {
    let unreadable = |_| Error::Generic { store: "URL", source: "it is no address".into() };
    let parsed: Url = url.parse().map_err(unreadable)?;
    let (scheme, path) = ObjectStoreScheme::parse(&parsed).map_err(Error::from)?;
    let retry = RetryConfig { max_retries: 1, retry_timeout: timeout, ..RetryConfig::default() };
    let client = ClientOptions::new().with_timeout(timeout).with_connect_timeout(timeout);
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let builder = AmazonS3Builder::from_env().with_url(url).with_client_options(client);
            let builder = options.iter().try_fold(builder, |builder, (key, value)| {
                Ok::<_, Error>(builder.with_config(key.parse::<AmazonS3ConfigKey>()?, value))
            })?;
            Arc::new(builder.with_retry(retry).build()?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url).with_client_options(client);
            let builder = options.iter().try_fold(builder, |builder, (key, value)| {
                Ok::<_, Error>(builder.with_config(key.parse::<GoogleConfigKey>()?, value))
            })?;
            Arc::new(builder.with_retry(retry).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url).with_client_options(client);
            let builder = options.iter().try_fold(builder, |builder, (key, value)| {
                Ok::<_, Error>(builder.with_config(key.parse::<AzureConfigKey>()?, value))
            })?;
            Arc::new(builder.with_retry(retry).build()?)
        }
        ObjectStoreScheme::Http => {
            // All of the address is the path there.
            let builder = HttpBuilder::new().with_url(url).with_client_options(client);
            let builder = options.iter().try_fold(builder, |builder, (key, value)| {
                Ok::<_, Error>(builder.with_config(key.parse::<ClientConfigKey>()?, value))
            })?;
            return Ok((Arc::new(builder.with_retry(retry).build()?), Path::default()));
        }
        ObjectStoreScheme::Local | ObjectStoreScheme::Memory | _ => {
            let source = "nothing is known of such a store".into();
            return Err(Error::Generic { store: "URL", source });
        }
    };
    Ok((store, path))
}

/// The numbers of a log's batches with the times that they were written at, rising.
async fn numbers(store: &dyn ObjectStore, log: &Path) -> Result<Vec<(u64, Timestamp)>, Error> {
    let listed = store.list_with_delimiter(Some(log)).await?;
    let mut numbers: Vec<(u64, Timestamp)> = listed
        .objects
        .iter()
        .filter_map(|object| {
            let number = object.location.filename()?.parse().ok()?;
            Some((number, Timestamp::from_millisecond(object.last_modified.timestamp_millis()).ok()?))
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

async fn text(store: &dyn ObjectStore, path: &Path, shown: &str) -> Result<String, Unknown> {
    let unreadable = |error: &Error| unknown(shown, error);
    let found = store.get(path).await.map_err(|error| unreadable(&error))?;
    if found.meta.size > LONGEST {
        return Err(Unknown::Strange { path: shown.to_owned(), found: format!("{} bytes", found.meta.size) });
    }
    let bytes = found.bytes().await.map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| Unknown::Strange { path: shown.to_owned(), found: "no text".to_owned() })
}

fn unknown(path: &str, error: &Error) -> Unknown {
    Unknown::NotReachable { path: path.to_owned(), cause: cause(error) }
}

/// What went wrong, without addresses: they may be signed.
fn cause(error: &Error) -> String {
    match error {
        Error::NotFound { .. } => "it is not there".to_owned(),
        Error::PermissionDenied { .. } => "these credentials may not".to_owned(),
        Error::Unauthenticated { .. } => "no valid credentials".to_owned(),
        Error::UnknownConfigurationKey { key, .. } => format!("the store has no option {key}"),
        Error::Generic { .. }
        | Error::InvalidPath { .. }
        | Error::JoinError { .. }
        | Error::NotSupported { .. }
        | Error::AlreadyExists { .. }
        | Error::Precondition { .. }
        | Error::NotModified { .. }
        | Error::NotImplemented { .. }
        | _ => {
            let mut last: &dyn std::error::Error = error;
            while let Some(next) = last.source() {
                last = next;
            }
            let text = last.to_string();
            if let Some((_, answer)) = text.split_once(ANSWERED) {
                // What follows the status is the store's own text, and may show who asked.
                return match answer.split(':').next().unwrap_or_default().trim() {
                    status if status.starts_with("403") => "these credentials may not".to_owned(),
                    status if status.starts_with("401") => "no valid credentials".to_owned(),
                    status => format!("the store answers {status}"),
                };
            }
            let text: String = text.chars().take(120).collect();
            if text.contains("://") || text.contains('?') || text.contains('=') {
                "the store cannot be reached, or answers as none does".to_owned()
            } else {
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::PutPayload;
    use object_store::memory::InMemory;

    use super::*;

    fn objects(store: Arc<dyn ObjectStore>) -> Objects {
        let objects = Objects::new("s3://lake/spark", &ObjectStoreOptions::default(), Duration::from_secs(1));
        let (with, root) = (Options::new(), Path::from("spark"));
        *objects.opened.lock().unwrap() = Some(Opened { with, store, root });
        objects
    }

    async fn store(files: &[(&str, &str)]) -> Arc<dyn ObjectStore> {
        let store = InMemory::new();
        for (file, text) in files {
            let path = Path::from(format!("spark/orders/{file}"));
            store.put(&path, PutPayload::from((*text).to_owned())).await.unwrap();
        }
        Arc::new(store)
    }

    const PLAN: &str = "v1\n{\"conf\":{\"spark.sql.shuffle.partitions\":\"8\"}}\n";

    #[tokio::test]
    async fn a_checkpoint_of_objects_reads_as_one_of_files_does() {
        let plan = |end: u32| format!("{PLAN}{{\"orders\":{{\"0\":{end}}}}}");
        let (eight, nine, ten) =
            (plan(8), plan(9), plan(10).replace("v1", "v2").replace("{\"orders", "0:{\"orders"));
        let files = [
            ("offsets/8", eight.as_str()),
            ("offsets/9", nine.as_str()),
            ("offsets/10", ten.as_str()),
            ("offsets/.10.tmp", ""),
            ("commits/8", "v1\n{}"),
            ("commits/9", "v1\n{}"),
        ];
        let standing = objects(store(&files).await).read("orders", Duration::ZERO).await.unwrap();
        assert_eq!((standing.batch, standing.planned, standing.pinned), (9, Some(10), None));
        assert_eq!((standing.offsets["orders"][&0], standing.before.unwrap().offsets["orders"][&0]), (9, 8));
        let more = [files.to_vec(), vec![("commits/10", "v2\n{}"), ("state/0/0/1.delta", "")]].concat();
        let standing = objects(store(&more).await).read("orders", Duration::ZERO).await.unwrap();
        assert_eq!((standing.batch, standing.offsets["orders"][&0], standing.pinned), (10, 10, Some(8)));
    }

    #[tokio::test]
    async fn what_is_half_there_is_unknown() {
        let read = |files: Vec<(&'static str, &'static str)>| async move {
            objects(store(&files).await).read("orders", Duration::ZERO).await.unwrap_err().to_string()
        };
        let nothing = read(vec![]).await;
        assert!(nothing.starts_with("s3://lake/spark/orders/commits holds no batch yet"), "{nothing}");
        let half = read(vec![("offsets/1", "v1\n{}\n{\"orders\":"), ("commits/1", "v1\n{}")]).await;
        assert_eq!(half, "s3://lake/spark/orders/offsets/1 is incomplete: it is read again at the next turn");
        let gone = read(vec![("commits/1", "v1\n{}")]).await;
        assert!(
            gone.starts_with("s3://lake/spark/orders/offsets/1 cannot be read (it is not there)"),
            "{gone}"
        );
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_store_is_said_without_its_secrets() {
        let read = |url: &str, options: ObjectStoreOptions| {
            let objects = Objects::new(url, &options, Duration::from_millis(500));
            async move { objects.read("orders", Duration::ZERO).await.unwrap_err().to_string() }
        };
        let odd =
            ObjectStoreOptions { options: [("aws_color".into(), "red".into())].into(), ..Default::default() };
        let odd = read("s3://lake/spark", odd).await;
        assert!(odd.contains("the store has no option aws_color"), "{odd}");
        let strange = read("tape://lake/spark", ObjectStoreOptions::default()).await;
        assert!(strange.starts_with("tape://lake/spark cannot be read ("), "{strange}");
        let file = ObjectStoreOptions {
            option_files: [("aws_secret_access_key".into(), "/nonexistent".into())].into(),
            ..Default::default()
        };
        let file = read("s3://lake/spark", file).await;
        assert!(file.contains("/nonexistent: entity not found"), "{file}");
        let keys = [
            ("aws_access_key_id", "AKIAEXAMPLE"),
            ("aws_secret_access_key", "hunter2"),
            ("aws_endpoint", "http://127.0.0.1:9"),
            ("aws_allow_http", "true"),
        ];
        let options = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let closed = read("s3://lake/spark", ObjectStoreOptions { options, ..Default::default() }).await;
        assert!(closed.starts_with("s3://lake/spark/orders/"), "{closed}");
        assert!(!closed.contains("AKIAEXAMPLE") && !closed.contains("hunter2"), "{closed}");
    }

    /// As S3 lists what lies right below a prefix.
    fn listing(keys: &[(&str, &str)], below: &[&str]) -> String {
        let object = |(key, at): &(&str, &str)| {
            format!(
                "<Contents><Key>spark/orders/{key}</Key><LastModified>{at}</LastModified><ETag>\"a\"</ETag><Size>9</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>"
            )
        };
        let prefix =
            |one: &&str| format!("<CommonPrefixes><Prefix>spark/orders/{one}</Prefix></CommonPrefixes>");
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>lake</Name><KeyCount>{}</KeyCount>\
             <MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{}{}</ListBucketResult>",
            keys.len(),
            keys.iter().map(object).collect::<String>(),
            below.iter().map(prefix).collect::<String>()
        )
    }

    #[tokio::test]
    async fn s3_is_asked_with_signatures_and_never_with_the_secret() {
        use wiremock::matchers::{path, query_param};
        use wiremock::{Mock, MockServer, ResponseTemplate};

        let server = MockServer::start().await;
        let (early, late) = ("2026-11-21T08:00:00.000Z", "2026-11-21T08:00:10.000Z");
        let lists = [
            ("commits/", listing(&[("commits/8", early), ("commits/9", late)], &[])),
            ("offsets/", listing(&[("offsets/8", early), ("offsets/9", early), ("offsets/10", late)], &[])),
            ("state/", listing(&[], &["state/0/"])),
        ];
        for (log, xml) in lists {
            Mock::given(path("/lake"))
                .and(query_param("prefix", format!("spark/orders/{log}")))
                .respond_with(ResponseTemplate::new(200).set_body_raw(xml, "application/xml"))
                .mount(&server)
                .await;
        }
        let plan = |end: u32| format!("{PLAN}{{\"orders\":{{\"0\":{end}}}}}");
        let files = [("commits/9", "v1\n{}".to_owned()), ("offsets/9", plan(9)), ("offsets/8", plan(8))];
        for (file, text) in files {
            let answer = ResponseTemplate::new(200)
                .insert_header("ETag", "\"a\"")
                .insert_header("Last-Modified", "Sat, 21 Nov 2026 08:00:00 GMT")
                .set_body_string(text);
            Mock::given(path(format!("/lake/spark/orders/{file}"))).respond_with(answer).mount(&server).await;
        }
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, "hunter2\n").unwrap();
        let endpoint = server.uri();
        let options = [
            ("aws_access_key_id", "AKIAEXAMPLE"),
            ("aws_region", "eu-central-1"),
            ("aws_endpoint", endpoint.as_str()),
            ("aws_allow_http", "true"),
        ];
        let options = ObjectStoreOptions {
            options: options.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            option_files: [("aws_secret_access_key".to_owned(), secret)].into(),
        };
        let objects = Objects::new("s3://lake/spark", &options, Duration::from_secs(5));
        let standing = objects.read("orders", Duration::from_secs(5)).await.unwrap();
        assert_eq!((standing.batch, standing.planned, standing.pinned), (9, Some(10), Some(8)));
        assert_eq!(standing.at, late.parse().unwrap());
        assert_eq!((standing.offsets["orders"][&0], standing.before.unwrap().offsets["orders"][&0]), (9, 8));
        let asked = server.received_requests().await.unwrap();
        assert_eq!(asked.len(), 6, "three lists, and three objects");
        for request in asked {
            let signed = request.headers["authorization"].to_str().unwrap();
            assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"), "{signed}");
            assert!(!format!("{request:?}").contains("hunter2"));
        }
        Mock::given(path("/lake"))
            .and(query_param("prefix", "spark/orders/state/"))
            .respond_with(ResponseTemplate::new(403))
            .with_priority(2)
            .mount(&server)
            .await;
        let unsure = objects.read("orders", Duration::ZERO).await.unwrap_err().to_string();
        assert!(unsure.starts_with("s3://lake/spark/orders/state cannot be read"), "{unsure}");
        Mock::given(path("/lake"))
            .respond_with(ResponseTemplate::new(403))
            .with_priority(1)
            .mount(&server)
            .await;
        let denied = objects.read("orders", Duration::ZERO).await.unwrap_err().to_string();
        let told =
            "s3://lake/spark/orders/commits cannot be read (these credentials may not): does `checkpoints`";
        assert!(denied.starts_with(told), "{denied}");
    }
}
