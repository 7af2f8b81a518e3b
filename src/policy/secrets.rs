//! Secrets that a document should not hold, and a message must not repeat.

/// What looks like a secret in one line.
#[derive(Debug)]
pub(crate) struct Secrets {
    /// The line with a star for each character of a secret.
    pub(crate) masked: String,
    found: Vec<String>,
}

impl Secrets {
    /// Looks for credentials in addresses, and for the values of keys that speak of a secret.
    pub(crate) fn of(line: &str) -> Self {
        let mut found = Vec::new();
        for (at, _) in line.match_indices("://") {
            let rest = line.get(at + 3..).unwrap_or_default();
            let authority = rest.split(['/', ' ', '"', '\'', ',']).next().unwrap_or_default();
            found.extend(authority.rsplit_once('@').map(|(credentials, _)| credentials.to_owned()));
        }
        // The first such key: all that follows it in the line may be its value.
        let keyed = line.match_indices(':').find(|(at, _)| line.get(..*at).is_some_and(speaks_of_a_secret));
        if let Some((at, _)) = keyed {
            let value = line.get(at + 1..).unwrap_or_default();
            let bare = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '}' | ']' | '[' | '{');
            found.extend(value.split(bare).filter(|word| !word.is_empty()).map(str::to_owned));
        }
        let mut masked = line.to_owned();
        for secret in &found {
            masked = masked.replace(secret.as_str(), &"*".repeat(secret.chars().count()));
        }
        Self { masked, found }
    }

    /// A message without the secrets.
    pub(crate) fn strike(&self, message: &str) -> String {
        let strike = |message: String, secret: &String| message.replace(secret.as_str(), "***");
        self.found.iter().fold(message.to_owned(), strike)
    }
}

/// Whether the key that ends a text is one for a secret itself, not for a file with it.
fn speaks_of_a_secret(before_colon: &str) -> bool {
    let key = before_colon.rsplit(|c: char| c.is_whitespace() || matches!(c, '{' | ',')).next();
    let key = key.unwrap_or_default().trim_matches(['"', '\'']).to_lowercase();
    ["password", "passwd", "secret", "token", "jaas"].iter().any(|word| key.contains(word))
        && !key.ends_with("file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_starred_and_struck() {
        let secrets = Secrets::of("  url: http://admin:hunter2@prometheus:9090/x");
        assert_eq!(secrets.masked, "  url: http://*************@prometheus:9090/x");
        assert_eq!(secrets.strike("`http://admin:hunter2@p` is wrong"), "`http://***@p` is wrong");

        let secrets = Secrets::of(r#"  sasl: {mechanism: PLAIN, password: "hunter2"}"#);
        assert_eq!(secrets.masked, r#"  sasl: {mechanism: PLAIN, password: "*******"}"#);
        assert_eq!(secrets.strike("`hunter2` does not fit"), "`***` does not fit");
    }

    #[test]
    fn files_and_all_else_stay() {
        for line in ["passwordFile: /etc/sasl/password", "maxReplicas: 3", "url: https://host/@x", "", ":"] {
            assert_eq!(Secrets::of(line).masked, line);
        }
    }
}
