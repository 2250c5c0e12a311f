//! How often the data plane may be asked: by an address, by a key, by a tenant.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_domain::{RateLimit, TenantId, Tier};
use rowhouse_settings::{RateLimits, Settings};
use rowhouse_testkit::{Answer, Client, TestHouse};
use serde_json::{Value, json};

/// How soon a changed limit is to be seen.
const SOON: Duration = Duration::from_secs(1);
/// More requests than any limit here lets through at once, also on a slow machine.
const MANY: usize = 60;

fn limit(per_second: u32, burst: u32) -> RateLimit {
    RateLimit { per_second, burst }
}

async fn house_with(change: impl FnOnce(&mut RateLimits)) -> TestHouse {
    crate::house_with(|settings: &mut Settings| change(&mut settings.rate_limits)).await
}

async fn ask(data: &Client) -> Answer {
    data.get("/v1/workspaces").await
}

/// Asks until it is refused, and gives the refusal with the number of answers before it.
async fn exhaust(data: &Client, otherwise: u16) -> (usize, Answer) {
    for served in 0..MANY {
        let answer = ask(data).await;
        if answer.status == 429 {
            return (served, answer);
        }
        let _ = answer.expect(otherwise);
    }
    panic!("{MANY} requests were served");
}

fn number(answer: &Answer, header: &str) -> u32 {
    answer.header(header).parse().unwrap_or_else(|_| panic!("{header}: {:?}", answer.headers))
}

/// Whether a refusal is told as it should be, and by which limit.
fn refused_by(answer: Answer, whose: &str) {
    assert!(number(&answer, "retry-after") >= 1);
    assert_eq!(number(&answer, "ratelimit-remaining"), 0);
    assert_eq!(answer.header("ratelimit-reset"), answer.header("retry-after"), "the same moment");
    assert_eq!(answer.problem(429, "rate_limited")["limit"], whose);
}

/// Waits until the limit is told to be so much, and says how long that took.
async fn told(data: &Client, burst: &str) -> Duration {
    let begun = Instant::now();
    loop {
        let answer = ask(data).await;
        let found = answer.headers.get("ratelimit-limit").map_or("", |value| value.to_str().unwrap());
        if found == burst {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < SOON, "{found:?} and not {burst:?} after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_waits_as_long_as_told_is_served_again() {
    let house = house_with(|limits| limits.key.extend([(Tier::Free, limit(1, 10))])).await;
    let given = house.tenant().await;
    let data = house.tenant_key(&given.tenant, &["read_files"]).await;
    let begun = Instant::now();
    let first = ask(&data).await.expect(200);
    assert_eq!((number(&first, "ratelimit-limit"), number(&first, "ratelimit-remaining")), (10, 9));
    assert_eq!((number(&first, "ratelimit-reset"), first.header("ratelimit-policy")), (1, "1;w=1;burst=10"));
    // An answer that is an error of another kind tells it too.
    let missing = data.get("/v1/files/fil_01jz3x5v8qf6k9m2n4p7r0s1t3").await;
    assert!(number(&missing, "ratelimit-remaining") <= 9);
    missing.problem(404, "not_found");
    let (served, refused) = exhaust(&data, 200).await;
    let earned = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!((8..=8 + earned).contains(&served), "{served} in {:?}", begun.elapsed());
    let wait = Duration::from_secs(number(&refused, "retry-after").into());
    refused_by(refused, "key");
    tokio::time::sleep(wait).await;
    let _ = ask(&data).await.expect(200);
    let metrics = String::from_utf8(house.data_admin.get("/metrics").await.expect(200).bytes).unwrap();
    assert!(metrics.contains(r#"rowhouse_rate_limited_total{what="key"}"#), "{metrics}");
}

#[tokio::test]
async fn a_keys_limit_is_its_own_and_a_tenants_is_shared_by_its_keys_only() {
    let house = house_with(|limits| {
        limits.key.extend([(Tier::Free, limit(1, 10))]);
        limits.tenant.extend([(Tier::Free, limit(1, 25))]);
    })
    .await;
    let (given, other) = (house.tenant().await, house.tenant().await);
    let keys = [
        house.tenant_key(&given.tenant, &["read_files"]).await,
        house.tenant_key(&given.tenant, &["read_files"]).await,
        house.tenant_key(&given.tenant, &["read_files"]).await,
    ];
    let (_, refused) = exhaust(&keys[0], 200).await;
    refused_by(refused, "key");
    // What the key's limit refuses is not taken from its tenant.
    for _ in 0..20 {
        let answer = ask(&keys[0]).await;
        assert!(answer.status == 429 || answer.status == 200);
    }
    let (served, refused) = exhaust(&keys[1], 200).await;
    assert!(served >= 10, "{served}");
    refused_by(refused, "key");
    let (served, refused) = exhaust(&keys[2], 200).await;
    assert!(served < 10, "{served}");
    refused_by(refused, "tenant");
    for _ in 0..5 {
        let _ = ask(&other.data).await.expect(200);
    }
}

#[tokio::test]
async fn an_address_is_limited_before_anything_is_looked_up_and_others_are_not() {
    let house = house_with(|limits| limits.address = limit(1, 30)).await;
    let given = house.tenant().await;
    let cold = house.tenant_key(&given.tenant, &["read_files"]).await;
    let _ = ask(&given.data).await.expect(200);
    let (_, refused) = exhaust(&house.data, 401).await;
    refused_by(refused, "address");
    // A look-up would fail, and be seen.
    house.sql("revoke select on tenant_api_keys from rowhouse_data").await;
    let (mut limited, begun) = (0, Instant::now());
    for _ in 0..20 {
        limited += usize::from(ask(&cold).await.status == 429);
    }
    let earned = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    assert!(limited + earned >= 20, "{limited} of 20 in {:?}", begun.elapsed());
    // Those who run the service are not counted.
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        for _ in 0..5 {
            let _ = house.data.get(path).await.expect(200);
        }
    }
    // Another address, with a key that is remembered.
    let elsewhere = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2])).build().unwrap();
    for _ in 0..5 {
        let request = elsewhere.request(Method::GET, format!("{}/v1/workspaces", house.data.base()));
        let _ = Answer::of(request.bearer_auth(given.data.key())).await.expect(200);
    }
}

#[tokio::test]
async fn a_limit_of_its_own_is_kept_to_within_a_second_and_so_is_the_tiers_again() {
    let house = house_with(|limits| {
        limits.key.extend([(Tier::Free, limit(1000, 1000)), (Tier::Business, limit(1000, 3000))]);
        limits.tenant.extend([(Tier::Free, limit(1000, 2000))]);
    })
    .await;
    let given = house.tenant().await;
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let key = house.admin.get(&format!("{tenant}/api-keys")).await.expect(200).json()["items"][0]["id"].clone();
    let key = format!("{tenant}/api-keys/{}", key.as_str().unwrap());
    told(&given.data, "1000").await;
    let id = given.tenant.parse::<TenantId>().unwrap().as_uuid();
    let pool = format!(
        "select backend_start::text from pg_stat_activity where usename = (select role_name from tenants where id = '{id}')"
    );
    let sessions = async || {
        let rows = house.rows(&pool).await;
        rows.iter().map(|row| row.try_get::<_, String>("backend_start").unwrap()).collect::<Vec<_>>()
    };
    let set = async |path: &str, limit: Value| {
        let _ = house.admin.patch(path, &json!({"rate_limit": limit})).await.expect(200);
    };
    let before = sessions().await;
    assert!(!before.is_empty());
    set(&tenant, json!({"per_second": 1, "burst": 12})).await;
    told(&given.data, "12").await;
    let (served, refused) = exhaust(&given.data, 200).await;
    assert!(served <= 15, "{served}");
    refused_by(refused, "tenant");
    set(&key, json!({"per_second": 1, "burst": 5})).await;
    told(&given.data, "5").await;
    let (_, refused) = exhaust(&given.data, 200).await;
    refused_by(refused, "key");
    set(&tenant, Value::Null).await;
    set(&key, Value::Null).await;
    told(&given.data, "1000").await;
    let after = sessions().await;
    assert!(before.iter().all(|session| after.contains(session)), "a new limit closes no connection");
    // No limit at all leaves the tenant's.
    set(&key, json!({"per_second": 0, "burst": 0})).await;
    told(&given.data, "2000").await;
    set(&key, Value::Null).await;
    // Another tier.
    let organization = format!("/v1/organizations/{}", given.organization);
    let _ = house.admin.patch(&organization, &json!({"subscription_tier": "business"})).await.expect(200);
    told(&given.data, "3000").await;
}

#[tokio::test]
async fn who_is_told_of_something_else_has_used_up_what_it_had() {
    let house = house_with(|limits| limits.key.extend([(Tier::Free, limit(1, 20))])).await;
    let given = house.tenant().await;
    let data = house.tenant_key(&given.tenant, &["read_files"]).await;
    let (_, refused) = exhaust(&data, 200).await;
    refused_by(refused, "key");
    // The key is read again after this, and its requests are counted on.
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let _ = house.admin.patch(&tenant, &json!({"rate_limit": {"per_second": 1000, "burst": 1000}})).await.expect(200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (served, refused) = exhaust(&data, 200).await;
    assert!(served <= 10, "{served}");
    refused_by(refused, "key");
}
