//! What holds for every tenant, however it is kept apart. Each root runs it with another isolation, or
//! through PgBouncer.

mod access;
mod archives;
mod bad_input;
mod batches;
mod blocks;
mod clients;
mod copies;
mod counters;
mod downloads;
mod events;
mod exactness;
mod faults;
mod files;
mod folder_copies;
mod folders;
mod jobs;
mod links;
mod lists;
mod logs;
mod mixed;
mod parked;
mod purges;
mod quota;
mod recount;
mod s3;
mod s3_backend;
mod s3_buckets;
mod s3_clients;
mod s3_copies;
mod s3_headers;
mod s3_lists;
mod s3_metadata;
mod s3_parts;
mod s3_rclone;
mod scrub;
mod sealed;
mod search;
mod sharing;
mod strays;
mod trash;
mod trees;
mod tus;
mod tus_clients;
mod tus_javascript;
mod tus_whole;
mod uploads;
mod usage;
mod versions;
mod workspaces;

/// A house whose tenants are kept apart as this suite has it.
pub(crate) async fn house() -> rowhouse_testkit::TestHouse {
    house_with(|_| {}).await
}

/// The same with other settings than the defaults.
pub(crate) async fn house_with(change: impl FnOnce(&mut rowhouse_settings::Settings)) -> rowhouse_testkit::TestHouse {
    rowhouse_testkit::TestHouse::start_with(|settings| {
        settings.tenancy.isolation_by_tier =
            rowhouse_domain::Tier::ALL.iter().map(|tier| (*tier, crate::ISOLATION)).collect();
        settings.migrations.tenant_folder = (crate::MIGRATIONS)();
        if crate::IS_POOLED {
            settings.pools.through = vec![rowhouse_testkit::PgBouncer::get().pooler()];
        }
        change(settings);
    })
    .await
}

/// Whether the tests that take minutes are wanted (`cargo xtask test --soak`).
pub(crate) fn is_soak() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a switch of these tests alone")]
    std::env::var("ROWHOUSE_SOAK").is_ok()
}
