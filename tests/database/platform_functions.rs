//! The functions through which the data plane writes to `saas_platform`.

use rowhouse_database::{AdminConnection, Tls};
use rowhouse_testkit::{OwnDatabase, TestCluster, platform_database};
use uuid::Uuid;

use crate::support::{number, run};

struct Platform {
    database: OwnDatabase,
    admin: AdminConnection,
    tenant: Uuid,
}

/// An organization with this quota and one tenant with that.
async fn platform(organization_quota: i64, tenant_quota: Option<i64>) -> Platform {
    let database = platform_database().await;
    let admin = TestCluster::get().admin(&database.name).await;
    let tenant = Uuid::now_v7();
    let quota = tenant_quota.map_or_else(|| "null".to_owned(), |quota| quota.to_string());
    run(
        &admin,
        &format!(
            "with organization as (
                 insert into organizations (name, display_name, email, api_key_prefix, storage_quota)
                 values ('Acme', 'Acme', 'ops@acme.example', 'acme', {organization_quota}) returning id)
             insert into tenants (id, organization_id, name, storage_quota)
             select '{tenant}', id, 'acme', {quota} from organization"
        ),
    )
    .await;
    Platform { database, admin, tenant }
}

impl Platform {
    async fn data(&self) -> AdminConnection {
        AdminConnection::open(&TestCluster::get().data(), &self.database.name, &Tls::Disabled).await.unwrap()
    }

    async fn reserve(&self, connection: &AdminConnection, reservation: Uuid, bytes: i64) -> (bool, Option<String>) {
        let sql = "select granted, level from quota_reserve($1, $2, $3, interval '15 minutes')";
        let rows = connection.query(sql, &[&reservation, &self.tenant, &bytes]).await.unwrap();
        (rows[0].try_get("granted").unwrap(), rows[0].try_get("level").unwrap())
    }

    /// Makes the tenant an active one.
    async fn place(&self) {
        run(
            &self.admin,
            "insert into clusters (name, host, port) values ('c', 'localhost', 5432);
             update tenants set status = 'active', cluster_id = (select id from clusters), database_name = 'd',
                 schema_name = 'public', role_name = 'r'",
        )
        .await;
    }

    /// Used and reserved bytes of both levels.
    async fn counters(&self) -> [i64; 4] {
        let mut counters = [0; 4];
        for (place, sql) in counters.iter_mut().zip([
            "select used_storage from organizations",
            "select reserved_storage from organizations",
            "select used_storage from tenants",
            "select reserved_storage from tenants",
        ]) {
            *place = number(&self.admin, sql).await;
        }
        counters
    }
}

#[tokio::test]
async fn racers_never_pass_the_limit_by_a_byte() {
    let platform = platform(1_000, None).await;
    let racers = (0..16).map(|_| async {
        let connection = platform.data().await;
        let mut granted = 0;
        for _ in 0..10 {
            if platform.reserve(&connection, Uuid::now_v7(), 99).await.0 {
                granted += 1;
            }
        }
        granted
    });
    let granted: i64 = futures::future::join_all(racers).await.into_iter().sum();
    assert_eq!(granted, 10, "ten times 99 fit into 1,000");
    assert_eq!(platform.counters().await, [0, 990, 0, 990]);
}

#[tokio::test]
async fn the_level_that_refuses_is_named_and_nothing_is_left_reserved() {
    let platform = platform(1_000, Some(100)).await;
    let connection = platform.data().await;
    assert_eq!(platform.reserve(&connection, Uuid::now_v7(), 101).await, (false, Some("tenant".to_owned())));
    assert_eq!(platform.reserve(&connection, Uuid::now_v7(), 1_001).await, (false, Some("organization".to_owned())));
    assert_eq!(platform.counters().await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_reservation_is_extended_given_back_once_or_settled_once() {
    let platform = platform(1_000, Some(1_000)).await;
    let connection = platform.data().await;
    let (kept, dropped, event) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for bytes in [100, 50] {
        assert!(platform.reserve(&connection, kept, bytes).await.0);
    }
    assert!(platform.reserve(&connection, dropped, 30).await.0);
    assert_eq!(platform.counters().await, [0, 180, 0, 180]);
    for _ in 0..2 {
        run(&connection, &format!("select quota_release('{dropped}')")).await;
    }
    assert_eq!(platform.counters().await, [0, 150, 0, 150]);
    for _ in 0..3 {
        run(
            &connection,
            &format!(
                "select usage_record('{event}', '{}', '2026-11-20T12:00:00Z', 'storage', 120, 'bytes', '{{}}', '{kept}')",
                platform.tenant
            ),
        )
        .await;
    }
    assert_eq!(platform.counters().await, [120, 0, 120, 0]);
    for log in ["tenant_usage_logs", "org_usage_logs"] {
        assert_eq!(number(&platform.admin, &format!("select sum(quantity)::bigint from {log}")).await, 120);
    }
}

#[tokio::test]
async fn a_reservation_that_nobody_comes_back_for_expires() {
    let platform = platform(1_000, None).await;
    let connection = platform.data().await;
    assert!(platform.reserve(&connection, Uuid::now_v7(), 500).await.0);
    assert_eq!(number(&connection, "select quota_expire(100)::bigint").await, 0);
    run(&platform.admin, "update quota_reservations set expires_at = now() - interval '1 second'").await;
    assert_eq!(number(&connection, "select quota_expire(100)::bigint").await, 1);
    assert_eq!(platform.counters().await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn what_is_being_committed_does_not_expire_and_what_expired_can_not_be_committed() {
    let platform = platform(1_000, None).await;
    let connection = platform.data().await;
    let (early, late) = (Uuid::now_v7(), Uuid::now_v7());
    let commit = |reservation: Uuid, bytes: i64| {
        format!("select quota_commit('{reservation}', '{}', {bytes})::int::bigint", platform.tenant)
    };
    let grow = |reservation: Uuid, bytes: i64| {
        format!(
            "select held from quota_reserve('{reservation}', '{}', {bytes}, interval '15 minutes')",
            platform.tenant
        )
    };
    assert_eq!(number(&connection, &grow(early, 100)).await, 100);
    assert_eq!(number(&connection, &grow(late, 200)).await, 200);
    assert_eq!(number(&connection, &commit(early, 101)).await, 0, "more than is held");
    assert_eq!(number(&connection, &commit(early, 100)).await, 1);
    let expire = "update quota_reservations set expires_at = now() - interval '1 second' where expires_at < 'infinity'";
    run(&platform.admin, expire).await;
    assert_eq!(number(&connection, "select quota_expire(100)::bigint").await, 1);
    assert_eq!(number(&connection, &commit(late, 200)).await, 0);
    assert_eq!(number(&connection, &grow(late, 0)).await, 0, "a sign of life that comes too late shows it");
    // A sign of life that crosses the commit does not give the reservation an end again.
    assert_eq!(number(&connection, &grow(early, 0)).await, 100);
    let give_back = format!("select quota_give_back('{early}', 1)::int::bigint");
    assert_eq!(number(&connection, &give_back).await, 0, "what is being committed is counted on");
    run(&platform.admin, expire).await;
    let _ = number(&connection, "select quota_expire(100)::bigint").await;
    assert_eq!(platform.counters().await, [0, 100, 0, 100]);
    run(&connection, &format!("select quota_release('{early}')")).await;
    assert_eq!(platform.counters().await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_mark_set_meanwhile_is_not_cleared() {
    let platform = platform(1_000, None).await;
    platform.place().await;
    let connection = platform.data().await;
    let mark = format!("select work_mark('{}')", platform.tenant);
    let seen = number(&connection, &mark).await;
    let newer = number(&connection, &mark).await;
    assert!(newer > seen);
    let clear =
        |generation| format!("select work_clear('{}', {generation}, null, interval '0')::int::bigint", platform.tenant);
    assert_eq!(number(&connection, &clear(seen)).await, 0);
    assert_eq!(number(&connection, "select count(*) from work_list(10)").await, 1);
    assert_eq!(number(&connection, &clear(newer)).await, 1);
    assert_eq!(number(&connection, "select count(*) from work_list(10)").await, 0);
}

#[tokio::test]
async fn of_two_who_claim_a_tenants_objects_one_is_given_them_until_they_are_due_again() {
    let platform = platform(1_000, None).await;
    let claim = "select count(*) from object_walks_claim('1 hour', 10)";
    assert_eq!(number(&platform.data().await, claim).await, 0, "it is not active yet");
    platform.place().await;
    for _ in 0..2 {
        let (one, other) = (platform.data().await, platform.data().await);
        let (one, other) = tokio::join!(number(&one, claim), number(&other, claim));
        assert_eq!(one + other, 1);
        assert_eq!(number(&platform.data().await, claim).await, 0);
        let put_off = |pause: &str| format!("select object_walks_put_off('{}', '{pause}')", platform.tenant);
        run(&platform.data().await, &put_off("1 minute")).await;
        assert_eq!(number(&platform.data().await, claim).await, 0);
        run(&platform.data().await, &put_off("0")).await;
    }
}

#[tokio::test]
async fn a_block_is_spent_event_by_event_and_the_rest_comes_back_by_a_release_alone() {
    let platform = platform(100_000, None).await;
    let connection = platform.data().await;
    let (block, tenant) = (Uuid::now_v7(), platform.tenant);
    let lease = |block: Uuid, smallest: i64, largest: i64| {
        format!("select coalesce(quota_lease('{block}', '{tenant}', {smallest}, {largest}, interval '1 minute'), 0)")
    };
    assert_eq!(number(&connection, &lease(Uuid::now_v7(), 1_001, 5_000)).await, 0, "a hundredth is too little");
    assert_eq!(number(&connection, &lease(block, 900, 5_000)).await, 1_000);
    assert_eq!(number(&connection, &format!("select quota_commit('{block}', '{tenant}', 1000)::int::bigint")).await, 1);
    let record = |event: Uuid, bytes: i64| {
        format!(
            "select usage_record('{event}', '{tenant}', '2026-11-20T12:00:00Z', 'storage', {bytes}, 'bytes', '{{}}', '{block}')"
        )
    };
    let (spent, empty) = (Uuid::now_v7(), Uuid::now_v7());
    for _ in 0..3 {
        run(&connection, &record(spent, 300)).await;
        run(&connection, &record(empty, 0)).await;
    }
    assert_eq!(platform.counters().await, [300, 700, 300, 700], "an event counts once, and ends no block");
    let give_back = |bytes: i64| format!("select quota_give_back('{block}', {bytes})::int::bigint");
    assert_eq!(number(&connection, &give_back(701)).await, 0, "more than there is");
    assert_eq!(number(&connection, &give_back(500)).await, 1);
    assert_eq!(platform.counters().await, [300, 200, 300, 200]);
    run(&connection, &record(Uuid::now_v7(), 50)).await;
    assert_eq!(number(&connection, &format!("select quota_release('{block}')::int::bigint")).await, 1);
    assert_eq!(platform.counters().await, [350, 0, 350, 0]);
}

#[tokio::test]
async fn many_events_are_counted_like_each_and_written_once() {
    let platform = platform(100_000, None).await;
    let connection = platform.data().await;
    let tenant = platform.tenant;
    let [block, own, workspaces, account] = [(); 4].map(|()| Uuid::now_v7());
    run(&platform.admin, &format!("insert into accounts (id, tenant_id) values ('{account}', '{tenant}')")).await;
    let lease = format!("select quota_lease('{block}', '{tenant}', 1, 500, interval '1 minute')");
    assert_eq!(number(&connection, &lease).await, 500);
    let reserve = format!("select held from quota_reserve('{own}', '{tenant}', 70, interval '1 minute', '{account}')");
    assert_eq!(number(&connection, &reserve).await, 70);
    let reserve =
        format!("select held from quota_reserve('{workspaces}', '{tenant}', 0, interval '1 minute', null, 2)");
    assert_eq!(number(&connection, &reserve).await, 0);
    assert_eq!(number(&platform.admin, "select used_workspaces::bigint from tenants").await, 2);
    let event = |kind: &str, quantity: i64, reservation: Option<Uuid>| {
        let or_null = |id: Option<Uuid>| id.map_or_else(|| "null::uuid".to_owned(), |id| format!("'{id}'::uuid"));
        let charged = or_null((reservation == Some(own)).then_some(account));
        format!("('{}'::uuid, '{kind}', {quantity}::bigint, {}, {charged})", Uuid::now_v7(), or_null(reservation))
    };
    let (first, second) = (event("storage", 30, Some(block)), event("storage", 60, Some(own)));
    let record = |events: &[&String]| {
        let listed = events.iter().map(|event| event.as_str()).collect::<Vec<_>>().join(", ");
        format!(
            "select usage_record_all('{tenant}', array_agg(id), array_agg('2026-11-20T12:00:00Z'::timestamptz), array_agg(kind),
                 array_agg(quantity), array_agg('bytes'::text), array_agg('{{}}'::jsonb), array_agg(reservation), array_agg(account))
             from (values {listed}) event (id, kind, quantity, reservation, account)"
        )
    };
    assert_eq!(number(&connection, &record(&[&first])).await, 1);
    let others = [
        event("storage", 40, Some(block)),
        event("storage", 5, Some(own)),
        event("storage", -10, None),
        event("api", 7, None),
        event("workspaces", 3, Some(workspaces)),
    ];
    let all: Vec<&String> = [&first, &second].into_iter().chain(&others).collect();
    run(&platform.admin, "begin").await;
    assert_eq!(number(&platform.admin, &record(&all)).await, 6, "one was there before");
    let written =
        "select sum(n_tup_upd)::bigint from pg_stat_xact_user_tables where relname in ('organizations', 'accounts')";
    // The count of workspaces is written by itself.
    assert_eq!(number(&platform.admin, written).await, 3);
    run(&platform.admin, "commit").await;
    assert_eq!(number(&connection, &record(&all)).await, 0);
    assert_eq!(platform.counters().await, [125, 430, 125, 430]);
    let of = |what: &str| format!("select {what} from accounts");
    assert_eq!(number(&platform.admin, &of("used_storage")).await, 65, "the account of the reservation");
    assert_eq!(number(&platform.admin, &of("reserved_storage")).await, 0);
    assert_eq!(number(&platform.admin, "select used_workspaces::bigint from tenants").await, 3);
    assert_eq!(number(&platform.admin, "select bytes from quota_reservations").await, 430, "only the block is left");
    for log in ["tenant_usage_logs", "org_usage_logs"] {
        assert_eq!(number(&platform.admin, &format!("select count(*) from {log}")).await, 7);
    }
}

#[tokio::test]
async fn blocks_hold_a_tenth_of_what_is_left_at_most() {
    let platform = platform(100_000, Some(50_000)).await;
    let connection = platform.data().await;
    let mut leased = 0;
    for _ in 0..60 {
        let (block, tenant) = (Uuid::now_v7(), platform.tenant);
        let lease = format!("select coalesce(quota_lease('{block}', '{tenant}', 1, 5000, interval '1 minute'), 0)");
        let size = number(&connection, &lease).await;
        assert!(size <= 500, "a hundredth of what is left at the tightest level");
        leased += size;
    }
    assert!((9_000..=10_000).contains(&leased), "{leased} are leased");
    assert_eq!(platform.counters().await, [0, leased, 0, leased]);
}
