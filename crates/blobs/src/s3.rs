//! Blobs in S3 through `object_store`'s own client.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use secrecy::ExposeSecret;
use url::Url;

use crate::config::S3Config;
use crate::error::BlobError;

/// Builds the client; nothing is asked of the service yet.
pub(crate) fn open(config: &S3Config) -> Result<AmazonS3, BlobError> {
    check(config)?;
    // `from_env` is the AWS chain: environment first, then web identity, container and instance metadata.
    let mut builder = match (&config.access_key_id, &config.secret_access_key) {
        (Some(id), Some(secret)) => {
            AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(secret.expose_secret())
        }
        (None, _) | (_, None) => AmazonS3Builder::from_env(),
    };
    if let Some(token) = &config.session_token {
        builder = builder.with_token(token.expose_secret());
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint_for(endpoint, config)?);
    }
    builder
        .with_region(&config.region)
        .with_bucket_name(&config.bucket)
        .with_virtual_hosted_style_request(!config.path_style)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_client_options(
            ClientOptions::new()
                .with_allow_http(config.allow_http)
                .with_connect_timeout(Duration::from_secs(5))
                // A whole transfer may take long; a silent connection may not.
                .with_timeout_disabled()
                .with_read_timeout(Duration::from_secs(30)),
        )
        // Few and short: a caller is waiting, and above us nobody knows of these retries.
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                base: 2.,
            },
            max_retries: 3,
            retry_timeout: Duration::from_secs(10),
        })
        .build()
        .map_err(|error| BlobError::Config(format!("blobs.s3: {error}")))
}

/// Finds settings that can't work, for every client of S3.
pub(crate) fn check(config: &S3Config) -> Result<(), BlobError> {
    let refuse = |text: &str| Err(BlobError::Config(text.to_owned()));
    if config.bucket.is_empty() {
        return refuse("blobs.s3.bucket is missing");
    }
    if config.access_key_id.is_some() != config.secret_access_key.is_some() {
        return refuse("blobs.s3.access_key_id and blobs.s3.secret_access_key belong together");
    }
    if config.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://")) && !config.allow_http {
        return refuse("blobs.s3.endpoint is http:// but blobs.s3.allow_http is not set");
    }
    Ok(())
}

/// The address requests go to: with the bucket in the host name unless paths carry it.
fn endpoint_for(endpoint: &str, config: &S3Config) -> Result<String, BlobError> {
    if config.path_style {
        return Ok(endpoint.to_owned());
    }
    let invalid = || BlobError::Config(format!("blobs.s3.endpoint is not a URL with a host name: {endpoint}"));
    let mut url = Url::parse(endpoint).map_err(|_| invalid())?;
    let host = url.domain().ok_or_else(invalid)?;
    let host = format!("{}.{host}", config.bucket);
    url.set_host(Some(&host)).map_err(|_| invalid())?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path_style: bool) -> S3Config {
        S3Config { bucket: "houses".to_owned(), path_style, ..S3Config::default() }
    }

    #[test]
    fn the_bucket_joins_the_host_name_unless_paths_carry_it() {
        let endpoint = "https://s3.example:9000";
        assert_eq!(endpoint_for(endpoint, &config(true)).unwrap(), endpoint);
        assert_eq!(endpoint_for(endpoint, &config(false)).unwrap(), "https://houses.s3.example:9000");
        assert!(endpoint_for("http://127.0.0.1:9000", &config(false)).is_err());
    }

    #[test]
    fn half_configured_buckets_are_refused() {
        assert!(check(&S3Config::default()).is_err());
        assert!(check(&S3Config { access_key_id: Some("id".to_owned()), ..config(true) }).is_err());
        assert!(check(&S3Config { endpoint: Some("http://s3.example".to_owned()), ..config(true) }).is_err());
        assert!(check(&config(true)).is_ok());
    }
}
