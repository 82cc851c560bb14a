use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(body: serde_json::Value) -> Result<Hook, HookError> {
    Hook::parse(body.to_string().as_bytes())
}

fn project(id: i64) -> ProjectId {
    ProjectId::new(id).unwrap()
}

#[test]
fn a_push() {
    let hook = parse(json!({
        "object_kind": "push", "event_name": "push",
        "before": "95790bf891e76fee5e1747ab589903a6a1f80f22", "after": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
        "ref": "refs/heads/master", "ref_protected": true, "user_id": 4, "project_id": 15,
        "project": {"id": 15, "name": "Diaspora", "path_with_namespace": "mike/diaspora", "default_branch": "master"},
        "commits": [{"id": "b6568db1bc1dcd7f8b4d5a946b0b91f9dacd7327"}], "total_commits_count": 4
    }));
    let Ok(Hook::Push(push)) = hook else {
        panic!("{hook:?}")
    };
    assert_eq!(push.project_id, project(15));
    assert_eq!(push.slug.as_deref(), Some("mike/diaspora"));
    assert_eq!(
        push.after.unwrap().to_string(),
        "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
    );
}

#[test]
fn a_push_of_the_system_hook_has_no_id_within_project() {
    let hook = parse(
        json!({"event_name": "push", "ref": "refs/heads/x", "project_id": 15, "project": {"name": "Diaspora"}}),
    );
    assert_eq!(hook.unwrap().project_id(), Some(project(15)));
    let hook =
        parse(json!({"event_name": "repository_update", "project_id": 1, "refs": ["refs/heads/master"]}));
    assert!(matches!(hook, Ok(Hook::Push(_))));
}

#[test]
fn a_deleted_branch_and_a_sha256_repository() {
    let zero = "0".repeat(40);
    let Ok(Hook::Push(push)) = parse(json!({"event_name": "push", "project_id": 1, "after": zero})) else {
        panic!()
    };
    assert_eq!(push.after, Some(Sha::ZERO));
    let Ok(Hook::Push(push)) = parse(json!({"event_name": "push", "project_id": 1, "after": "a".repeat(64)}))
    else {
        panic!()
    };
    assert_eq!(push.after, None);
}

#[test]
fn system_hooks() {
    let hook = parse(json!({
        "event_name": "project_rename", "project_id": 73, "path_with_namespace": "jsmith/underscore",
        "old_path_with_namespace": "jsmith/overscore", "project_visibility": "internal"
    }));
    let Ok(Hook::Project(hook)) = hook else {
        panic!("{hook:?}")
    };
    assert_eq!(hook.change, ProjectChange::Renamed);
    assert_eq!(hook.old_slug.as_deref(), Some("jsmith/overscore"));

    let hook = parse(json!({
        "event_name": "user_remove_from_team", "access_level": "Maintainer", "project_id": 74, "user_id": 41,
        "project_path_with_namespace": "jsmith/storecloud"
    }));
    let Ok(Hook::ProjectMember(hook)) = hook else {
        panic!("{hook:?}")
    };
    assert_eq!(
        (hook.change, hook.access_level),
        (MemberChange::Removed, Some(AccessLevel(40)))
    );

    let hook = parse(json!({
        "event_name": "user_add_to_group", "group_access": "Wizard", "group_id": 78, "group_path": "storecloud", "user_id": 41
    }));
    let Ok(Hook::GroupMember(hook)) = hook else {
        panic!("{hook:?}")
    };
    assert_eq!((hook.group_id, hook.access_level), (78, None));

    let hook = parse(json!({
        "event_name": "group_rename", "path": "better-name", "full_path": "parent-group/better-name", "group_id": 64,
        "old_path": "old-name", "old_full_path": "parent-group/old-name"
    }));
    let Ok(Hook::Group(hook)) = hook else {
        panic!("{hook:?}")
    };
    assert_eq!(hook.old_path.as_deref(), Some("parent-group/old-name"));

    let hook =
        parse(json!({"event_name": "user_rename", "user_id": 58, "username": "new", "old_username": "old"}));
    let Ok(Hook::User(hook)) = hook else {
        panic!("{hook:?}")
    };
    assert_eq!(hook.old_username.as_deref(), Some("old"));
}

#[test]
fn every_kind_keeps_its_name() {
    let body = json!({"project_id": 1, "user_id": 1, "group_id": 1});
    for kind in [
        "push",
        "tag_push",
        "project_create",
        "project_destroy",
        "project_rename",
        "project_transfer",
        "project_update",
        "user_add_to_team",
        "user_update_for_team",
        "user_remove_from_team",
        "group_create",
        "group_destroy",
        "group_rename",
        "user_add_to_group",
        "user_update_for_group",
        "user_remove_from_group",
        "user_create",
        "user_destroy",
        "user_rename",
    ] {
        let mut body = body.clone();
        body["event_name"] = kind.into();
        let hook = parse(body).unwrap();
        assert_eq!(hook.kind(), kind);
        assert!(!matches!(hook, Hook::Unknown(_)));
    }
}

#[test]
fn other_kinds_are_no_error() {
    let hook = parse(json!({"object_kind": "merge_request", "project": {"id": "not even a number"}}));
    assert_eq!(hook.unwrap(), Hook::Unknown("merge_request".into()));
    assert_eq!(
        parse(json!({"event_name": "x".repeat(1000)}))
            .unwrap()
            .kind()
            .len(),
        64
    );
}

#[test]
fn bad_bodies() {
    for (body, named) in [
        (json!({"event_name": "push"}), "project_id"),
        (json!({"event_name": "push", "project_id": 0}), "0 is not an id"),
        (json!({"event_name": "push", "project_id": -3}), "-3 is not an id"),
        (
            json!({"event_name": "push", "project_id": 1, "project": {"id": 2}}),
            "differ",
        ),
        (json!({"event_name": "push", "project_id": "1"}), "invalid type"),
        (json!({"event_name": "project_create"}), "project_id"),
        (
            json!({"event_name": "user_add_to_group", "user_id": 1, "group_id": 0}),
            "0 is not an id",
        ),
        (json!({"project_id": 1}), "object_kind"),
        (json!([1]), "invalid"),
    ] {
        let error = parse(body.clone()).unwrap_err().to_string();
        assert!(error.contains(named), "{body}: {error}");
    }
    assert!(Hook::parse(b"").is_err());
    assert!(Hook::parse(b"\xff\xfe").is_err());
    let deep = format!(
        r#"{{"event_name":"push","project_id":1,"x":{}{}}}"#,
        "[".repeat(64),
        "]".repeat(64)
    );
    assert!(matches!(Hook::parse(deep.as_bytes()), Err(HookError::TooDeep)));
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Hook::parse(&body);
    }
}

#[test]
fn a_body_is_utf_8_throughout() {
    let body = b"{\"object_kind\":\"push\",\"project_id\":1,\"x\":\"\xff\"}";
    assert!(matches!(Hook::parse(body), Err(HookError::NotText(_))));
}
