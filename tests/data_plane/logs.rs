//! Nothing that opens a door is in a log, however much is logged.

use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use object_store::signer::Signer;
use reqwest::Method;
use serde_json::json;

use super::s3::{make_key, store};

/// What a query says under a name.
fn said(address: &str, name: &str) -> String {
    let (_, query) = address.split_once('?').unwrap();
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {address}")).to_owned()
}

/// The address with another signature of the same form.
fn forged(address: &str, signature: &str) -> String {
    let reversed: String = signature.chars().rev().collect();
    address.replace(signature, &reversed)
}

#[tokio::test]
async fn no_key_and_no_signature_is_logged() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let s3_key = make_key(&house, &given, &["read_files", "write_files"]).await;
    for level in ["trace", "s3s::ops=trace,s3s::service=trace,info"] {
        let settings = format!("telemetry.log = \"{level}\"\ns3 = {{ enabled = true, port = 0 }}\n");
        let process = house.data_plane_process(&settings).await;
        let client = process.client.with_key(given.data.key());
        let file = given.upload(&format!("{}.txt", level.len()), "words").await;
        let anyone = reqwest::Client::new();
        let status = async |address: &str| anyone.get(address).send().await.unwrap().status().as_u16();

        let link = client.post(&format!("/v1/files/{file}/links"), &json!({})).await.expect(201).text("url");
        let link_signature = said(&link, "signature");
        assert_eq!(status(&link).await, 200);
        assert_eq!(status(&forged(&link, &link_signature)).await, 403);

        let log = process.log();
        let port = log.split("the S3 door is open").nth(1).and_then(|rest| rest.split("port=").nth(1)).unwrap();
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        let bucket = given.workspace.replace('_', "-");
        let store = store(&format!("http://127.0.0.1:{port}"), &bucket, &s3_key);
        store.put(&Path::from("a.txt"), "words".into()).await.unwrap();
        let presigned = store.signed_url(Method::GET, &Path::from("a.txt"), Duration::from_secs(60)).await.unwrap();
        let presigned = presigned.to_string();
        let signature = said(&presigned, "X-Amz-Signature");
        assert_eq!(status(&presigned).await, 200);
        assert_eq!(status(&forged(&presigned, &signature)).await, 403);
        let wrong = process.client.with_key(&format!("{}x", given.data.key()));
        let _ = wrong.get("/v1/files").await.expect(401);

        let log = process.log();
        assert!(log.contains("TRACE") == (level == "trace"), "it is logged as much as was asked for");
        let reversed = |text: &str| text.chars().rev().collect::<String>();
        let secrets = [
            given.data.key().to_owned(),
            s3_key["key"].as_str().unwrap().to_owned(),
            s3_key["s3_secret"].as_str().unwrap().to_owned(),
            reversed(&link_signature),
            reversed(&signature),
            link_signature,
            signature,
            "Signature=".to_owned(),
            "Bearer rht_".to_owned(),
        ];
        for secret in secrets {
            if let Some(place) = log.find(&secret) {
                let line = log[..place].lines().last().unwrap_or_default();
                panic!("{level}: {secret} is in a line that begins {line}");
            }
        }
    }
}
