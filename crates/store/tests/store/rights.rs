//! Who may see what, by the rows of members and denials.

use access::{Caller, Denial, GroupPath, Why, why};
use model::{Day, Generation, Position, ProjectId, UserId, Visibility};
use store::{Facts, FactsMember, LiveFacts, Reader, Writer};

use crate::support::{open, project};

const TODAY: Day = Day::from_number(20_000);

fn user(number: i64) -> UserId {
    UserId::new(number).unwrap()
}

fn facts(version: u64, slug: &str, visibility: Visibility, members: &[(i64, Option<u32>)]) -> Facts {
    Facts {
        state_version: Generation::new(version),
        generation: Generation::new(version),
        live: Some(LiveFacts {
            slug: slug.parse().unwrap(),
            visibility,
            members: members
                .iter()
                .map(|(number, until)| FactsMember {
                    user: user(*number),
                    until: until.map(Day::from_number),
                })
                .collect(),
        }),
        payload: Vec::new(),
    }
}

fn put(writer: &mut Writer, id: i64, facts: &Facts) {
    let mut batch = writer.begin().unwrap();
    batch.apply_facts(project(id), facts).unwrap();
    batch.commit().unwrap();
}

fn seen(reader: &Reader, caller: &Caller, today: Day) -> Vec<u32> {
    let visible = reader.snapshot().unwrap().visible(caller, today).unwrap();
    visible.iter().map(ProjectId::get).collect()
}

fn world(writer: &mut Writer) {
    put(writer, 1, &facts(5, "a/public", Visibility::Public, &[]));
    put(
        writer,
        2,
        &facts(5, "a/internal", Visibility::Internal, &[(9, None)]),
    );
    put(
        writer,
        3,
        &facts(
            5,
            "a/b/private",
            Visibility::Private,
            &[(7, None), (8, Some(20_001))],
        ),
    );
    put(
        writer,
        4,
        &facts(5, "c/private", Visibility::Private, &[(7, None)]),
    );
}

#[test]
fn members_see_their_own_until_they_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    world(&mut writer);
    let seven = Caller::User(user(7));
    let eight = Caller::User(user(8));
    assert_eq!(seen(&reader, &Caller::Anonymous, TODAY), [1]);
    assert_eq!(seen(&reader, &Caller::User(user(5)), TODAY), [1, 2]);
    assert_eq!(seen(&reader, &seven, TODAY), [1, 2, 3, 4]);
    assert_eq!(seen(&reader, &eight, TODAY), [1, 2, 3]);
    assert_eq!(seen(&reader, &eight, Day::from_number(20_001)), [1, 2]);
    // Removed, then added again, then the project is gone.
    put(
        &mut writer,
        3,
        &facts(6, "a/b/private", Visibility::Private, &[(8, None)]),
    );
    assert_eq!(seen(&reader, &seven, TODAY), [1, 2, 4]);
    assert_eq!(seen(&reader, &eight, Day::from_number(20_001)), [1, 2, 3]);
    put(
        &mut writer,
        3,
        &facts(5, "a/b/private", Visibility::Private, &[(7, None)]),
    );
    assert_eq!(seen(&reader, &seven, TODAY), [1, 2, 4], "older facts");
    let gone = Facts {
        live: None,
        ..facts(7, "a/b/private", Visibility::Private, &[])
    };
    put(&mut writer, 3, &gone);
    assert_eq!(seen(&reader, &eight, TODAY), [1, 2]);
    put(&mut writer, 3, &facts(8, "a/b/private", Visibility::Private, &[]));
    assert_eq!(seen(&reader, &eight, TODAY), [1, 2], "no member is left over");
}

#[test]
fn denials_hold_until_later_facts_come() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    world(&mut writer);
    let seven = Caller::User(user(7));
    let deny = |writer: &mut Writer, key: &str, who: Option<i64>, below: Option<&str>, version| {
        let mut batch = writer.begin().unwrap();
        let denial = Denial {
            user: who.map(user),
            below: below.and_then(GroupPath::new),
            signed_in: below.is_none(),
            version: Generation::new(version),
        };
        let new = batch.deny(key, &denial).unwrap();
        batch.commit().unwrap();
        new
    };
    assert!(deny(&mut writer, "group/2/user/7", Some(7), Some("b"), 10));
    assert!(!deny(&mut writer, "group/2/user/7", Some(7), Some("b"), 9));
    assert_eq!(seen(&reader, &seven, TODAY), [1, 2, 4]);
    assert_eq!(seen(&reader, &Caller::User(user(8)), TODAY), [1, 2, 3]);
    let snapshot = reader.snapshot().unwrap();
    let access = snapshot.rights(&seven, project(3)).unwrap().unwrap();
    assert_eq!(why(&seven, TODAY, &access), Why::Denied);
    drop(snapshot);
    put(
        &mut writer,
        3,
        &facts(11, "a/b/private", Visibility::Private, &[(7, None)]),
    );
    assert_eq!(
        seen(&reader, &seven, TODAY),
        [1, 2, 3, 4],
        "he was a member by another way"
    );
    // Of a user, and of a whole group.
    assert!(deny(&mut writer, "user/7", Some(7), None, 20));
    assert_eq!(seen(&reader, &seven, TODAY), [1]);
    assert!(deny(&mut writer, "group/1", None, Some("a"), 20));
    assert_eq!(seen(&reader, &Caller::User(user(8)), TODAY), [1]);
    assert_eq!(reader.snapshot().unwrap().denials().unwrap().len(), 3);
    let forget = |writer: &mut Writer, seconds: i64| {
        let mut batch = writer.begin().unwrap();
        let now = model::Timestamp::from_micros(seconds * 1_000_000);
        let left = batch.forget_denials(now).unwrap();
        batch.commit().unwrap();
        left
    };
    assert_eq!(forget(&mut writer, 1_000), 3, "facts of the past may still come");
    assert_eq!(forget(&mut writer, 10 * 86_400), 2, "one takes nothing any more");
}

#[test]
fn what_a_decision_follows_from_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    world(&mut writer);
    let at: Position = "renku.projects.v1/3@41".parse().unwrap();
    let mut batch = writer.begin().unwrap();
    batch.put_source(project(4), &at).unwrap();
    batch.commit().unwrap();
    let snapshot = reader.snapshot().unwrap();
    assert_eq!(snapshot.source(project(4)).unwrap(), Some(at));
    assert_eq!(snapshot.source(project(3)).unwrap(), None);
    assert_eq!(snapshot.rights(&Caller::Anonymous, project(44)).unwrap(), None);
}
