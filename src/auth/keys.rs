//! Keys that sign tokens, each bound to its algorithms.

use jsonwebtoken::{
    Algorithm, DecodingKey, Header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};

/// The most keys in a set: each that fits a token is tried.
const MAX_KEYS: usize = 64;

/// A key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// The keys whose tokens are taken.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// Adds a secret that the hub shares with whoever signs: HS256, and from 48 and 64 bytes on
    /// HS384 and HS512 (RFC 7518, 3.2).
    ///
    /// # Errors
    /// It is shorter than 32 bytes, or somebody's public key.
    pub fn secret(mut self, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err(KeyError::PemAsSecret);
        }
        let algorithms = [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];
        let algorithms = algorithms.iter().filter(|(_, least)| secret.len() >= *least);
        let algorithms: Vec<_> = algorithms.map(|(algorithm, _)| *algorithm).collect();
        if algorithms.is_empty() {
            return Err(KeyError::ShortSecret(secret.len()));
        }
        self.0.push(Key { id: None, algorithms, decoding: DecodingKey::from_secret(secret) });
        Ok(self)
    }

    /// Adds a public key in PEM: RSA (RS256 to PS512), P-256 (ES256), P-384 (ES384) or Ed25519
    /// (EdDSA).
    ///
    /// # Errors
    /// It is none of these.
    pub fn public_pem(mut self, pem: &[u8]) -> Result<Self, KeyError> {
        let decoding = DecodingKey::from_rsa_pem(pem)
            .or_else(|_| DecodingKey::from_ec_pem(pem))
            .or_else(|_| DecodingKey::from_ed_pem(pem))
            .map_err(|_| KeyError::NotPem)?;
        let algorithms = match decoding.family().algorithms() {
            [Algorithm::ES256, ..] => vec![match decoding.try_get_as_bytes().map(<[u8]>::len) {
                Ok(P256_BYTES) => Algorithm::ES256,
                Ok(P384_BYTES) => Algorithm::ES384,
                _ => return Err(KeyError::NotPem),
            }],
            algorithms => algorithms.to_vec(),
        };
        self.0.push(Key { id: None, algorithms, decoding });
        Ok(self)
    }

    /// The keys of a JSON Web Key Set (RFC 7517), but for those that are not for signatures.
    /// Secrets are left out: a set is there to be read by others.
    ///
    /// # Errors
    /// It is no such set, has more than 64 keys, or none to use.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeyError> {
        let JwkSet { keys } =
            serde_json::from_slice(json).map_err(|error| KeyError::NotJwks(error.to_string()))?;
        if keys.len() > MAX_KEYS {
            return Err(KeyError::TooMany(keys.len()));
        }
        let keys: Vec<_> = keys.iter().filter_map(Key::from_jwk).collect();
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self(keys)) }
    }

    /// Those that may have signed a token with this header. What else the header says of keys,
    /// such as `jwk` or `jku`, is its sender's word alone.
    pub(super) fn fitting(&self, header: &Header) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(|key| {
            let same_id = match (&key.id, &header.kid) {
                (Some(key), Some(wanted)) => key == wanted,
                _ => true,
            };
            same_id && key.algorithms.contains(&header.alg)
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Points that are not compressed (SEC 1, 2.3.3).
const P256_BYTES: usize = 65;
const P384_BYTES: usize = 97;

impl Key {
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        let of_kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => decoding.family().algorithms().to_vec(),
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        let mut algorithms = of_kind;
        if let Some(named) = &jwk.common.key_algorithm {
            // A key that says so is for one algorithm alone.
            let named = named.to_string().parse().ok();
            algorithms.retain(|algorithm| Some(*algorithm) == named);
        }
        let id = jwk.common.key_id.clone();
        (!algorithms.is_empty()).then_some(Self { id, algorithms, decoding })
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

/// Why something cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Too few bytes (RFC 7518, 3.2).
    #[error("the secret has {0} bytes; give 32 or more, as `openssl rand -hex 32` makes them")]
    ShortSecret(usize),
    /// A PEM where a secret is meant.
    #[error("a key in PEM, which others may have, is a public key and no secret")]
    PemAsSecret,
    /// No public key.
    #[error("no public key in PEM of RSA, P-256, P-384 or Ed25519")]
    NotPem,
    /// No key set.
    #[error("no JSON Web Key Set: {0}")]
    NotJwks(String),
    /// Too many keys.
    #[error("a set of {0} keys; give at most {MAX_KEYS}")]
    TooMany(usize),
    /// No key to use.
    #[error("a set without a public key for signatures (RSA, P-256, P-384 or Ed25519)")]
    Empty,
}
