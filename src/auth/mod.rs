//! Tokens: JSON Web Tokens (RFC 7519) that say who a caller is and what they may do.
//!
//! Knows nothing of HTTP: a text becomes [`Grants`], or the reason why not.

mod claims;
mod jwks;
mod keys;

use std::{fmt, sync::Arc, time::SystemTime};

use jsonwebtoken::{Header, Validation, decode, decode_header, errors::ErrorKind};

use crate::grants::Grants;
use claims::Claims;
pub use jwks::{Jwks, JwksError};
pub use keys::{KeyError, Keys};

/// The longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Turns tokens into grants. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Checks>);

struct Checks {
    keys: Keys,
    jwks: Option<Jwks>,
    rules: TokenRules,
}

/// What a token must say, and what is granted without one.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// `aud` must name one of these, if there are any.
    pub audiences: Vec<String>,
    /// `iss` must be one of these, if there are any.
    pub issuers: Vec<String>,
    /// Take tokens without `exp`, which never expire.
    pub allow_no_expiry: bool,
    /// What everybody may do; a token adds to it.
    pub anonymous: Grants,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            audiences: Vec::new(),
            issuers: Vec::new(),
            allow_no_expiry: false,
            anonymous: Grants::anonymous(),
        }
    }
}

impl Tokens {
    /// Takes tokens that `keys` or a key of `jwks` has signed.
    pub fn new(keys: Keys, jwks: Option<Jwks>, rules: TokenRules) -> Self {
        Self(Arc::new(Checks { keys, jwks, rules }))
    }

    /// What is granted without a token.
    pub fn anonymous(&self) -> &Grants {
        &self.0.rules.anonymous
    }

    /// What `token` grants, with what everybody may do.
    ///
    /// May ask for a newer set of keys, on the thread's `LocalSet`.
    ///
    /// # Errors
    /// The token is not good, and why.
    pub async fn check(&self, token: &str) -> Result<Grants, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let header = decode_header(token).map_err(|_| TokenError::Unreadable)?;
        if header.crit.is_some() {
            // Whoever does not know what is critical must refuse (RFC 7515, 4.1.11).
            return Err(TokenError::Critical);
        }
        let claims = self.verified(&header, token).await?;
        claims.grants(&self.0.rules, SystemTime::now())
    }

    async fn verified(&self, header: &Header, token: &str) -> Result<Claims, TokenError> {
        let Checks { keys, jwks, .. } = &*self.0;
        let of_hub = self.verify(keys, header, token);
        let Some(jwks) = jwks else { return of_hub };
        if !matches!(of_hub, Err(TokenError::UnknownKey | TokenError::Signature)) {
            return of_hub;
        }
        let of_set = match self.verify(&jwks.keys(), header, token) {
            Err(TokenError::UnknownKey) if jwks.refetch().await => {
                self.verify(&jwks.keys(), header, token)
            }
            result => result,
        };
        // Each may have keys that the token could be of.
        if of_set == Err(TokenError::UnknownKey) { of_hub } else { of_set }
    }

    /// Checks the signature with the keys that may have made it.
    fn verify(&self, keys: &Keys, header: &Header, token: &str) -> Result<Claims, TokenError> {
        let validation = self.validation(header);
        let mut result = Err(TokenError::UnknownKey);
        for key in keys.fitting(header) {
            result = decode(token, key.decoding(), &validation)
                .map(|token| token.claims)
                .map_err(|error| reason(error.into_kind()));
            if result != Err(TokenError::Signature) {
                break;
            }
        }
        result
    }

    fn validation(&self, header: &Header) -> Validation {
        let TokenRules { audiences, issuers, .. } = &self.0.rules;
        let mut validation = Validation::new(header.alg);
        // The times are the claims' own to check: their leeways differ.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.validate_aud = !audiences.is_empty();
        if !audiences.is_empty() {
            validation.set_audience(audiences);
            validation.required_spec_claims.insert("aud".into());
        }
        if !issuers.is_empty() {
            validation.set_issuer(issuers);
            validation.required_spec_claims.insert("iss".into());
        }
        validation
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("rules", &self.0.rules).finish_non_exhaustive()
    }
}

/// Why a token is not good: enough to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than any honest one.
    #[error("the token has more than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// No JWT, or of no algorithm that is taken.
    #[error("the token is no JWT of an algorithm such as HS256, RS256, PS256, ES256 or EdDSA")]
    Unreadable,
    /// Asks for an extension.
    #[error("the token's header has `crit`, which this hub does not heed")]
    Critical,
    /// No key fits its `alg` and `kid`.
    #[error("no key of this hub fits the token's `alg` and `kid`")]
    UnknownKey,
    /// Changed, or signed by another key.
    #[error("the token's signature is wrong")]
    Signature,
    /// Past its `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before its `nbf`.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Without `exp`.
    #[error("the token has no `exp`")]
    NoExpiry,
    /// For others.
    #[error("the token's `aud` does not name this hub")]
    Audience,
    /// From elsewhere.
    #[error("the token's `iss` is not one that this hub takes")]
    Issuer,
    /// Claims that cannot be read.
    #[error("the token's claims cannot be used: {0}")]
    Claims(String),
}

fn reason(kind: ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(_) => TokenError::Issuer,
        ErrorKind::Json(error) => TokenError::Claims(error.to_string()),
        ErrorKind::Utf8(_) | ErrorKind::Base64(_) => TokenError::Unreadable,
        _ => TokenError::Signature,
    }
}
