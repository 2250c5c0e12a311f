//! tus-js-client, the public client of tus in JavaScript, at the resumable uploads: what tuspy does not speak, which is
//! concatenation, termination, expiration, and lengths that are told later.

use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::clients::{Client, succeeded};

const PREAMBLE: &str = r#"
const tus = require('tus-js-client');
const assert = require('node:assert');
const { Readable } = require('node:stream');
const path = require('node:path');
const [url, key, workspace, folder] = process.argv.slice(1);
const body = Buffer.alloc(3_000_000, 'every letter of it ');
const headers = { Authorization: 'Bearer ' + key };
const told = (filename) => ({ workspace_id: workspace, filename });
const urlStorage = new tus.FileUrlStorage(path.join(folder, 'known.json'));
// Begins an upload; done when it has ended, stopped or failed.
const upload = (name, options = {}, { source = body, stopAt } = {}) => new Promise((resolve, reject) => {
  const one = new tus.Upload(source, {
    endpoint: url + '/v1/uploads', headers, metadata: told(name), chunkSize: 700_000, retryDelays: [0, 100],
    fingerprint: async () => name, urlStorage, removeFingerprintOnSuccess: true,
    onSuccess: () => resolve(one),
    onError: reject,
    onChunkComplete: (size, accepted) => { if (stopAt && accepted >= stopAt) one.abort().then(() => resolve(one)); },
    ...options,
  });
  one.findPreviousUploads().then((known) => {
    if (known.length) one.resumeFromPreviousUpload(known[0]);
    one.start();
  });
});
const asked = async (address) => {
  const answer = await fetch(address, { method: 'HEAD', headers: { ...headers, 'Tus-Resumable': '1.0.0' } });
  return [answer.status, answer.headers.get('upload-offset'), answer.headers.get('upload-expires')];
};
const isGone = async (address) => [404, 410].includes((await asked(address))[0]);
"#;

const WHOLE: &str = r#"
(async () => {
  // One piece after another, and with what comes along with the creation.
  await upload('pieces.bin');
  await upload('at-once.bin', { uploadDataDuringCreation: true });
  // It stops, and another one goes on where it was, by what the first has noted.
  const first = await upload('resumed.bin', {}, { stopAt: 1_400_000 });
  assert.deepStrictEqual((await asked(first.url)).slice(0, 2), [200, '1400000']);
  const second = await upload('resumed.bin');
  assert.strictEqual(second.url, first.url);
  // Four parts at once, put together by the server.
  await upload('together.bin', { parallelUploads: 4, metadataForPartialUploads: { workspace_id: workspace } });
  // Nobody knows how long it will be.
  await upload('deferred.bin', { uploadLengthDeferred: true }, { source: Readable.from([body.subarray(0, 1_000_001), body.subarray(1_000_001)]) });
  // Somebody thinks better of it: nothing of it is left.
  const ended = await upload('ended.bin', {}, { stopAt: 700_000 });
  await ended.abort(true);
  assert.ok(await isGone(ended.url));
  // So it goes with parts.
  let parts;
  await new Promise((resolve, reject) => {
    const one = new tus.Upload(body, {
      endpoint: url + '/v1/uploads', headers, metadata: told('gone.bin'), chunkSize: 200_000, parallelUploads: 2,
      metadataForPartialUploads: { workspace_id: workspace }, onError: reject, retryDelays: null,
      onChunkComplete: () => {
        if (parts) return;
        parts = one._parallelUploadUrls;
        one.abort(true).then(resolve, reject);
      },
    });
    one.start();
  });
  assert.strictEqual(parts.filter(Boolean).length, 2);
  // The client does not wait for these.
  for (const part of parts) while (!await isGone(part)) await new Promise((resolve) => setTimeout(resolve, 50));
  // A name that is taken is told before a byte is sent.
  await assert.rejects(upload('pieces.bin', { retryDelays: null }), (error) => error.originalResponse.getStatus() === 409);
  console.log('fine');
})();
"#;

const LATE: &str = r#"
(async () => {
  const first = await upload('late.bin', {}, { stopAt: 700_000 });
  const [status, offset, expires] = await asked(first.url);
  assert.deepStrictEqual([status, offset], [200, '700000']);
  const left = new Date(expires) - Date.now();
  assert.ok(left > -1_000 && left <= 6_000, expires);
  while ((await asked(first.url))[0] === 200) await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(Date.now() >= new Date(expires) - 1_000, 'it went before its time');
  // The client is told that it is no more, and begins another.
  const second = await upload('late.bin');
  assert.notStrictEqual(second.url, first.url);
  console.log('fine');
})();
"#;

async fn run(script: &str, given: &rowhouse_testkit::Given) {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Command::new("node");
    node.args(["-e", &format!("{PREAMBLE}{script}"), given.data.base(), given.data.key(), &given.workspace]);
    let output = node.arg(folder.path()).kill_on_drop(true).output().await.unwrap();
    assert_eq!(succeeded(&output).trim(), "fine");
}

/// The files that have come of it, each of which must be whole.
async fn names(given: &rowhouse_testkit::Given) -> Vec<String> {
    let path = format!("/v1/files?workspace_id={}&sort=name", given.workspace);
    let files = given.data.get(&path).await.expect(200).json();
    let sent = "every letter of it ".bytes().cycle().take(3_000_000).collect::<Vec<_>>();
    let mut names = Vec::new();
    for file in files["items"].as_array().unwrap() {
        let text = |field: &str| file[field].as_str().map(str::to_owned).unwrap();
        let content = given.data.get(&format!("/v1/files/{}/content", text("id"))).await.expect(200).bytes;
        assert!(content == sent, "{} is another content", text("name"));
        assert_eq!(file["size"], Value::from(sent.len()));
        names.push(text("name"));
    }
    names
}

#[tokio::test]
async fn tus_js_client_works() {
    if !Client::TusJs.is_here().await {
        return;
    }
    let house = crate::house().await;
    let given = house.tenant().await;
    run(WHOLE, &given).await;
    let expected = ["at-once.bin", "deferred.bin", "pieces.bin", "resumed.bin", "together.bin"];
    assert_eq!(names(&given).await, expected);
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn tus_js_client_begins_anew_what_has_expired() {
    if !Client::TusJs.is_here().await {
        return;
    }
    let house = crate::house_with(|settings| settings.uploads.session_ttl = Duration::from_secs(5)).await;
    let given = house.tenant().await;
    run(LATE, &given).await;
    assert_eq!(names(&given).await, ["late.bin"]);
    house.expect_reserved(0).await;
}
