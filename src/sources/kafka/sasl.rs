//! Logging in to a broker: PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677) over Kafka's SASL requests.
//! User and password are taken as they are: no normalisation beyond ASCII.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;

use super::access::Login;
use super::trouble::Trouble;
use super::wire::Wire;
use crate::policy::settings::SaslMechanism;

/// Kafka's error `UNSUPPORTED_SASL_MECHANISM`.
const UNSUPPORTED_MECHANISM: i16 = 33;
/// What RFC 7677 demands at least; Kafka's own default.
const LEAST_ITERATIONS: u32 = 4096;

/// Logs in over a fresh connection.
pub(super) async fn log_in(wire: &mut Wire, login: &Login) -> Result<(), Trouble> {
    let mechanism = login.mechanism.to_string();
    let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_string(mechanism.clone()));
    let answer = wire.call(1, &handshake).await?;
    if answer.error_code == UNSUPPORTED_MECHANISM {
        let offered: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
        return Err(Trouble::Mechanism { mechanism, offered: offered.join(", ") });
    }
    if answer.error_code != 0 {
        return Err(refused(login));
    }
    match login.mechanism {
        SaslMechanism::Plain => {
            say(wire, login, format!("\0{}\0{}", login.user, login.password)).await.map(drop)
        }
        SaslMechanism::ScramSha256 => scram(wire, login, &SHA_256).await,
        SaslMechanism::ScramSha512 => scram(wire, login, &SHA_512).await,
    }
}

async fn scram(wire: &mut Wire, login: &Login, hash: &Hash) -> Result<(), Trouble> {
    let mut random = [0_u8; 24];
    rand::fill(&mut random).map_err(|_| Trouble::Other("no random numbers".into()))?;
    let conversation = Conversation::start(&login.user, &BASE64.encode(random));
    let challenge = say(wire, login, format!("n,,{}", conversation.first)).await?;
    let (proof, verifier) =
        conversation.prove(hash, &login.password, &challenge).ok_or_else(|| refused(login))?;
    let last = say(wire, login, proof).await?;
    // The server must know the password too, or it is not the one we think.
    let genuine = constant_time::verify_slices_are_equal(last.as_bytes(), verifier.as_bytes()).is_ok();
    if genuine { Ok(()) } else { Err(refused(login)) }
}

async fn say(wire: &mut Wire, login: &Login, message: String) -> Result<String, Trouble> {
    let version = wire.version::<SaslAuthenticateRequest>(2).unwrap_or(0);
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
    let answer = match wire.call(version, &request).await {
        // Brokers that cannot say why simply hang up.
        Err(Trouble::Closed { .. }) => return Err(refused(login)),
        answer => answer?,
    };
    if answer.error_code != 0 {
        return Err(refused(login));
    }
    String::from_utf8(answer.auth_bytes.to_vec()).map_err(|_| refused(login))
}

fn refused(login: &Login) -> Trouble {
    Trouble::Authentication { user: login.user.clone(), mechanism: login.mechanism.to_string() }
}

struct Hash {
    key_derivation: pbkdf2::Algorithm,
    mac: hmac::Algorithm,
    digest: &'static digest::Algorithm,
    length: usize,
}

static SHA_256: Hash = Hash {
    key_derivation: pbkdf2::PBKDF2_HMAC_SHA256,
    mac: hmac::HMAC_SHA256,
    digest: &digest::SHA256,
    length: 32,
};
static SHA_512: Hash = Hash {
    key_derivation: pbkdf2::PBKDF2_HMAC_SHA512,
    mac: hmac::HMAC_SHA512,
    digest: &digest::SHA512,
    length: 64,
};

impl Hash {
    fn sign(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.mac, key), message).as_ref().to_vec()
    }
}

/// The client's side of SCRAM, without the wire.
struct Conversation {
    nonce: String,
    /// The client's first message, without its GS2 header.
    first: String,
}

impl Conversation {
    fn start(user: &str, nonce: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { nonce: nonce.to_owned(), first: format!("n={user},r={nonce}") }
    }

    /// The client's last message and the server's last one as it must be; `None` where the challenge
    /// is not one.
    fn prove(&self, hash: &Hash, password: &str, challenge: &str) -> Option<(String, String)> {
        let part = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key));
        let (nonce, salt) = (part("r=")?, BASE64.decode(part("s=")?).ok()?);
        let iterations: u32 = part("i=")?.parse().ok()?;
        if !nonce.starts_with(&self.nonce) || iterations < LEAST_ITERATIONS {
            return None;
        }
        let mut salted = vec![0_u8; hash.length];
        let iterations = NonZeroU32::new(iterations)?;
        pbkdf2::derive(hash.key_derivation, iterations, &salt, password.as_bytes(), &mut salted);
        let bare = format!("c=biws,r={nonce}");
        let transcript = format!("{},{challenge},{bare}", self.first);
        let client_key = hash.sign(&salted, b"Client Key");
        let stored_key = digest::digest(hash.digest, &client_key);
        let signature = hash.sign(stored_key.as_ref(), transcript.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
        let server_key = hash.sign(&salted, b"Server Key");
        let verifier = format!("v={}", BASE64.encode(hash.sign(&server_key, transcript.as_bytes())));
        Some((format!("{bare},p={}", BASE64.encode(proof)), verifier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example conversation of RFC 7677, section 3.
    #[test]
    fn scram_sha_256_follows_the_rfc() {
        let talk = Conversation::start("user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(talk.first, "n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (proof, verifier) = talk.prove(&SHA_256, "pencil", challenge).unwrap();
        assert_eq!(
            proof,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(verifier, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_weak_or_foreign_challenge_is_refused() {
        let talk = Conversation::start("a=b,c", "abc");
        assert_eq!(talk.first, "n=a=3Db=2Cc,r=abc");
        assert!(talk.prove(&SHA_512, "p", "r=abcd,s=QUJD,i=100").is_none());
        assert!(talk.prove(&SHA_512, "p", "r=xyz,s=QUJD,i=4096").is_none());
        assert!(talk.prove(&SHA_512, "p", "e=other-error").is_none());
    }
}
