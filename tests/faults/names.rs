//! Names that would like to be something else.

use rowhouse_testkit::TestHouse;
use serde_json::json;

#[tokio::test]
async fn any_name_is_only_a_name() {
    let house = TestHouse::start().await;
    let organization = crate::house::organization(&house).await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let names = [
        "Robert'); drop table tenants; --",
        "\"quoted\" and 'quoted'",
        "Größe 東京 🏠",
        "postgres",
        "template1",
        "select",
        "$$ body $$",
        "a/../b",
        "saas_platform",
        "_",
        "İstanbul",
    ];
    let mut tenants = Vec::new();
    for name in names {
        for isolation in ["dedicated", "schema"] {
            let name = format!("{name} {isolation}");
            let made = house.admin.post(&path, &json!({"name": name, "isolation": isolation})).await.expect(201);
            assert_eq!(made.text("name"), name);
            tenants.push(made.text("id"));
        }
    }
    let longest = "ü".repeat(100);
    tenants.push(house.admin.post(&path, &json!({"name": longest})).await.expect(201).text("id"));
    for refused in ["x".repeat(300), "ü".repeat(101), "a\0b".to_owned(), " ".to_owned(), "two\nlines".to_owned()] {
        let answer = house.admin.post(&path, &json!({"name": refused})).await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{refused:?} answered {}", answer.status);
    }
    crate::house::all_serve(&house, &tenants).await;
    house.expect_no_differences().await;
    let odd = "select count(*) from tenants where database_name !~ '^[a-z][a-z0-9_]{0,62}$' or schema_name !~ '^[a-z][a-z0-9_]{0,62}$'";
    assert_eq!(house.rows(odd).await[0].try_get::<_, i64>(0).unwrap(), 0);
}
