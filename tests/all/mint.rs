//! Keys and tokens of a test's own.

use std::{
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a test's hub shares with whoever signs.
pub(crate) const SECRET: &str = "a secret of no less than 32 bytes";

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims that are good for a while.
pub(crate) fn grants(subscribe: &[&str], publish: &[&str]) -> Value {
    json!({"exp": now() + 600, "herald": {"subscribe": subscribe, "publish": publish}})
}

/// Claims that never end.
pub(crate) fn forever(subscribe: &[&str]) -> Value {
    json!({"herald": {"subscribe": subscribe}})
}

pub(crate) fn signed(algorithm: Algorithm, claims: &Value, key: &EncodingKey) -> String {
    encode(&Header::new(algorithm), claims, key).unwrap()
}

/// A token of the shared secret.
pub(crate) fn token(subscribe: &[&str], publish: &[&str]) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    signed(Algorithm::HS256, &grants(subscribe, publish), &key)
}

/// A key of two halves, in files.
pub(crate) struct KeyPair {
    public: String,
    private: Vec<u8>,
    _directory: TempDir,
}

impl KeyPair {
    /// One that `openssl` makes.
    pub(crate) fn new(words: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name).display().to_string();
        let (private, public) = (file("private.pem"), file("public.pem"));
        let openssl = |words: &[&str]| {
            let output = Command::new("openssl").args(words).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        openssl(&[words, &["-out", &private]].concat());
        openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
        let private = std::fs::read(private).unwrap();
        Self { public, private, _directory: directory }
    }

    pub(crate) fn public_file(&self) -> &str {
        &self.public
    }

    /// The public half of an Ed25519 key, as a member of a set.
    pub(crate) fn ed_jwk(&self, id: &str) -> Value {
        let jwk = Jwk::from_encoding_key(&self.ed(), Algorithm::EdDSA).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(id);
        jwk
    }

    pub(crate) fn rsa(&self) -> EncodingKey {
        EncodingKey::from_rsa_pem(&self.private).unwrap()
    }

    pub(crate) fn ec(&self) -> EncodingKey {
        EncodingKey::from_ec_pem(&self.private).unwrap()
    }

    pub(crate) fn ed(&self) -> EncodingKey {
        EncodingKey::from_ed_pem(&self.private).unwrap()
    }
}
