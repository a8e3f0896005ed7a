use super::*;

const PROPERTIES: &str = r#"{"Domain": "example.org"}"#;

fn spec(logical_id: Option<&str>) -> InstanceSpec {
    InstanceSpec {
        properties: "{}".to_owned(),
        tags: vec![("tier".to_owned(), "web".to_owned())],
        init: "echo hello".to_owned(),
        logical_id: logical_id.map(str::to_owned),
        attachments: Vec::new(),
    }
}

fn prepare(logical_id: Option<&str>, group: &str) -> Result<InstanceSpec, Error> {
    let index = Index { group: group.to_owned(), sequence: 3 };
    Plugin::prepare(PROPERTIES.to_owned(), spec(logical_id), Allocation::Size(3), index)
}

fn instance(state: InstanceState) -> Instance {
    Instance {
        id: "1".to_owned(),
        name: "web-1".to_owned(),
        logical_id: None,
        state,
        message: String::new(),
        created_at_ms: None,
        addresses: Vec::new(),
        tags: Vec::new(),
        properties: None,
    }
}

#[test]
fn the_example_is_as_it_should_be() {
    let it = Plugin::describe_plugin();
    assert!(domain(&it.properties_example).is_ok());
    assert!(serde_json::from_str::<Value>(&it.properties_schema).is_ok());
}

#[test]
fn what_is_wrong_is_named() {
    for (properties, path) in [
        ("{", ""),
        ("null", ""),
        ("{}", "/Domain"),
        (r#"{"Domain": 1}"#, "/Domain"),
        (r#"{"Domain": "a b; reboot"}"#, "/Domain"),
        (r#"{"Domain": "a..b"}"#, "/Domain"),
        (r#"{"Domain": "a", "x/y": 1}"#, "/x~1y"),
    ] {
        let error = domain(properties).unwrap_err();
        assert_eq!((error.code, error.path.as_deref()), (ErrorCode::InvalidArgument, Some(path)), "{properties}");
    }
}

#[test]
fn each_gets_its_name_and_all_else_stays() {
    let made = prepare(None, "web").unwrap();
    assert_eq!(made, InstanceSpec { init: "hostname web-3.example.org\necho hello".to_owned(), ..spec(None) });
    assert_eq!(prepare(None, "web").unwrap(), made);
    assert!(prepare(Some("db-1"), "web").unwrap().init.starts_with("hostname db-1.example.org\n"));
    assert_eq!(prepare(None, "a b;").unwrap_err().code, ErrorCode::InvalidArgument);
}

#[test]
fn health_answers_for_each_in_order() {
    let states = [InstanceState::Failed, InstanceState::Running, InstanceState::Pending];
    let reports = Plugin::health(PROPERTIES.to_owned(), states.into_iter().map(instance).collect()).unwrap();
    let statuses: Vec<_> = reports.into_iter().map(|it| it.status).collect();
    assert_eq!(statuses, [HealthStatus::Unhealthy, HealthStatus::Healthy, HealthStatus::Unknown]);
}
