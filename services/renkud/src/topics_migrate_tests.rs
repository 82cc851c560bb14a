//! A topic moves on the embedded log; the copy itself is tested on all of them beside it.

use bus::{GroupEvent, GroupOptions, NewRecord};
use events::{PROJECTS, PUSH_EVENTS};
use model::{Offset, Partition, Timestamp};
use runtime::Edges;

use super::*;

struct Node {
    settings: Settings,
    data: DataFolder,
    bus: OpenBus,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            data: folder.path().to_owned(),
            ..Settings::default()
        };
        let data = DataFolder::open(&settings.data, true).unwrap();
        let bus = OpenBus::open(&settings, &data, &Edges::system()).await.unwrap();
        bus.seam(None).ensure_topics(&topic_specs()).await.unwrap();
        let node = Self {
            settings,
            data,
            bus,
            _folder: folder,
        };
        for topic in [PROJECTS, PUSH_EVENTS, retry(&PUSH_EVENTS)] {
            let of = |key: u32| {
                let (key, value) = (key.to_string(), format!("value {key}"));
                NewRecord::new(topic.clone(), key, value, Timestamp::from_micros(1_000_000))
            };
            node.bus
                .seam(None)
                .append((1..=100).map(of).collect())
                .await
                .unwrap();
        }
        node
    }

    async fn migrate(&self, from: &str, to: &str, partitions: Option<u32>, yes: bool) -> Result<String> {
        let what = MigrateTopic {
            from: from.to_owned(),
            to: to.to_owned(),
            partitions,
            yes,
        };
        let mut out = String::new();
        migrate(&self.settings, &self.data, &self.bus, &what, &mut out).await?;
        Ok(out)
    }

    async fn ends(&self, topic: &str) -> Result<Vec<u64>, BusError> {
        let extents = self.bus.seam(None).extents(&topic.parse().unwrap()).await?;
        Ok(extents.iter().map(|extent| extent.end.get()).collect())
    }

    /// A view that has read all of the facts but those of partition 3.
    async fn view(&self) -> Moving {
        let options = self.settings.store.options("localhost");
        let log = self.bus.seam(None).log_id(&[PROJECTS]).await.unwrap();
        let ends = self.ends(PROJECTS.as_str()).await.unwrap();
        let (mut writer, _) = store::open(&self.data.views(), options.clone()).unwrap();
        let mut txn = writer.begin().unwrap();
        for (partition, end) in (0..).zip(ends).filter(|(partition, _)| *partition != 3) {
            let position = Position {
                topic: PROJECTS,
                partition: Partition::new(partition),
                next: Offset::new(end),
            };
            txn.set_position(&position).unwrap();
        }
        txn.set_log(log).unwrap();
        txn.commit().unwrap();
        drop(writer);
        Moving::open(&self.data.views(), options).unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_topic_moves_with_its_lanes_and_its_readers() {
    let node = Node::new().await;
    let seam = node.bus.seam(None);
    let mut member = seam
        .join("commit-fetcher", "m", &[PUSH_EVENTS], GroupOptions::default())
        .await
        .unwrap();
    let mut seen = 0;
    while seen < 100 {
        if let GroupEvent::Records(records) = member.next().await.unwrap() {
            seen += records.len();
            for record in records.iter().filter(|record| record.partition.get() < 8) {
                member.settle(&record.slot(), record.offset);
            }
        }
    }
    member.leave().await.unwrap();

    let (from, to) = ("renku.push-events.v1", "renku.push-events.v2");
    let told = node.migrate(from, to, Some(32), false).await.unwrap();
    assert!(
        told.contains("nothing was done. Stop webhook-service, commit-fetcher"),
        "{told}"
    );
    assert!(matches!(node.ends(to).await, Err(BusError::UnknownTopic(_))));

    let told = node.migrate(from, to, Some(32), true).await.unwrap();
    assert!(
        told.contains("copied    100 records to renku.push-events.v2\n"),
        "{told}"
    );
    assert!(
        told.contains("copied    100 records to renku.push-events.v2.retry\n"),
        "{told}"
    );
    let ends = node.ends(to).await.unwrap();
    assert_eq!((ends.len(), ends.iter().sum::<u64>()), (32, 100));
    let topic: TopicName = to.parse().unwrap();
    let positions = seam.group_positions("commit-fetcher", &[topic]).await.unwrap();
    // 32 is twice 16: what was in partition n is in n or n + 16 now.
    for position in positions {
        let settled = position.partition.get() % 16 < 8;
        let end = ends[position.partition.get() as usize];
        assert_eq!(position.next.get(), if settled { end } else { 0 }, "{position}");
    }
    let again = node.migrate(from, to, Some(32), true).await.unwrap();
    assert!(
        again.contains("copied    0 records to renku.push-events.v2\n"),
        "{again}"
    );
    assert_eq!(node.ends(to).await.unwrap(), ends);
    assert_eq!(
        node.ends(from).await.unwrap().iter().sum::<u64>(),
        100,
        "the old one stays"
    );
}

#[tokio::test]
async fn a_view_goes_on_in_the_copy() {
    let node = Node::new().await;
    let view = node.view().await;
    assert_eq!(view.topics()[0], PROJECTS);
    drop(view);
    let (from, to) = ("renku.projects.v1", "renku.projects.v2");
    let told = node.migrate(from, to, None, true).await.unwrap();
    assert!(
        told.contains("the view in 16 partitions of renku.projects.v2"),
        "{told}"
    );
    let options = node.settings.store.options("localhost");
    let view = Moving::open(&node.data.views(), options).unwrap().unwrap();
    assert_eq!(view.topics()[0].as_str(), to);
    let ends = node.ends(to).await.unwrap();
    for position in view
        .positions()
        .iter()
        .filter(|position| position.topic.as_str() == to)
    {
        let partition = position.partition.get();
        let wanted = if partition == 3 {
            0
        } else {
            ends[partition as usize]
        };
        assert_eq!(position.next.get(), wanted, "{position}");
    }
    drop(view);
    let again = node.migrate(from, to, None, true).await.unwrap();
    assert!(again.contains("the view stands in the new topic"), "{again}");
}

#[tokio::test]
async fn what_is_no_next_version_is_refused() {
    let node = Node::new().await;
    for (from, to, partitions, why) in [
        ("renku.projects.v1", "renku.commits.v2", None, "no later version"),
        ("renku.projects.v2", "renku.projects.v1", None, "no later version"),
        ("renku.projects", "renku.projects.v2", None, "has no version"),
        (
            "renku.projects.v1",
            "renku.projects.v2",
            Some(8),
            "as many or more",
        ),
        ("renku.notes.v1", "renku.notes.v2", None, "declares neither"),
        (
            "renku.projects.v0",
            "renku.projects.v1",
            None,
            "there is no topic",
        ),
    ] {
        let told = node.migrate(from, to, partitions, true).await.unwrap_err();
        assert!(format!("{told:#}").contains(why), "{told:#}");
    }
}
