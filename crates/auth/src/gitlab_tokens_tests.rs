use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Timestamp, UserId};
use runtime::{ManualClock, SeededRandomness};

use super::*;

#[derive(Default)]
struct Sim {
    asked: AtomicUsize,
    answer: Mutex<Option<Result<Option<Person>, Unreachable>>>,
    slow: Option<tokio::sync::Notify>,
}

#[async_trait]
impl WhoIs for Sim {
    async fn who_is(&self, _: &Secret, _: TokenHeader) -> Result<Option<Person>, Unreachable> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(slow) = &self.slow {
            slow.notified().await;
        }
        self.answer.lock().unwrap_or(Err(Unreachable))
    }
}

impl Sim {
    fn answers(&self, answer: Result<Option<Person>, Unreachable>) {
        *self.answer.lock() = Some(answer);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn tokens(sim: &Arc<Sim>, entries: usize) -> (Arc<GitLabTokens>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
    let edges = Edges::with(clock.clone(), Arc::new(SeededRandomness::new(1)));
    let config = Config {
        token_cache_entries: entries,
        ..Config::default()
    };
    (Arc::new(GitLabTokens::new(sim.clone(), &config, &edges)), clock)
}

fn person() -> Option<Person> {
    let user = UserId::new(42).ok()?;
    Some(Person {
        user,
        external: false,
    })
}

fn token(text: &str) -> Secret {
    Secret::new(text)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn answers_hold_for_a_moment() {
    let sim = Arc::new(Sim::default());
    let (tokens, clock) = tokens(&sim, 10);
    sim.answers(Ok(person()));
    let ask = async |text: &str| tokens.person(&token(text), TokenHeader::Bearer).await.unwrap();
    assert_eq!(ask("a").await, (person(), Source::Asked));
    clock.advance(59 * SECOND);
    assert_eq!(ask("a").await, (person(), Source::Remembered));
    assert_eq!(sim.asked(), 1);
    // Taken back at GitLab: seen when the answer is old.
    sim.answers(Ok(None));
    clock.advance(SECOND);
    assert_eq!(ask("a").await, (None, Source::Asked));
    clock.advance(9 * SECOND);
    assert_eq!(ask("a").await, (None, Source::Remembered));
    clock.advance(SECOND);
    sim.answers(Ok(person()));
    assert_eq!(ask("a").await, (person(), Source::Asked));
    // The other header is another question.
    sim.answers(Ok(None));
    let other = tokens.person(&token("a"), TokenHeader::Private).await;
    assert_eq!(other, Ok((None, Source::Asked)));
}

#[tokio::test]
async fn while_gitlab_is_down_old_answers_hold_a_minute_more() {
    let sim = Arc::new(Sim::default());
    let (tokens, clock) = tokens(&sim, 10);
    let ask = async |text: &str| tokens.person(&token(text), TokenHeader::Private).await;
    assert_eq!(ask("new").await, Err(Unreachable));
    clock.advance(2 * SECOND);
    sim.answers(Ok(person()));
    assert_eq!(ask("a").await, Ok((person(), Source::Asked)));
    sim.answers(Ok(None));
    assert_eq!(ask("no").await, Ok((None, Source::Asked)));
    sim.answers(Err(Unreachable));
    clock.advance(119 * SECOND);
    let before = sim.asked();
    assert_eq!(ask("a").await, Ok((person(), Source::Stale)));
    assert_eq!(sim.asked(), before + 1);
    // It is left alone for a second.
    assert_eq!(ask("a").await, Ok((person(), Source::Stale)));
    assert_eq!(ask("new").await, Err(Unreachable));
    assert_eq!(sim.asked(), before + 1);
    // A "no" does not hold longer for that.
    clock.advance(SECOND);
    assert_eq!(ask("no").await, Err(Unreachable));
    assert_eq!(ask("a").await, Err(Unreachable), "two minutes are over");
}

#[tokio::test]
async fn one_question_for_all_who_bring_the_same_token() {
    let sim = Arc::new(Sim {
        slow: Some(tokio::sync::Notify::new()),
        ..Sim::default()
    });
    sim.answers(Ok(person()));
    let (tokens, _clock) = tokens(&sim, 10);
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let tokens = tokens.clone();
            async move { tokens.person(&token("a"), TokenHeader::Bearer).await }
        })
        .collect();
    let all = async {
        let mut told = Vec::new();
        let mut set = tokio::task::JoinSet::new();
        for one in asking {
            set.spawn(one);
        }
        while let Some(answer) = set.join_next().await {
            told.push(answer.unwrap().unwrap().0);
        }
        told
    };
    let release = async {
        while sim.asked() == 0 {
            tokio::task::yield_now().await;
        }
        sim.slow.as_ref().unwrap().notify_waiters();
        sim.slow.as_ref().unwrap().notify_one();
    };
    let (told, ()) = tokio::join!(all, release);
    assert_eq!(told, vec![person(); 20]);
    assert_eq!(sim.asked(), 1);
    assert!(tokens.asking.lock().is_empty());
}

#[tokio::test]
async fn tokens_that_strangers_make_up_take_bounded_memory() {
    let sim = Arc::new(Sim::default());
    sim.answers(Ok(None));
    let (tokens, _clock) = tokens(&sim, 10);
    for n in 0..100 {
        let told = tokens
            .person(&token(&format!("guess-{n}")), TokenHeader::Bearer)
            .await;
        assert_eq!(told, Ok((None, Source::Asked)));
    }
    assert_eq!(tokens.answers.lock().len(), 10);
    assert!(tokens.asking.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn gitlab_is_not_asked_more_than_it_may_be_at_one_time() {
    let sim = Arc::new(Sim {
        slow: Some(tokio::sync::Notify::new()),
        ..Sim::default()
    });
    let (tokens, _clock) = tokens(&sim, 1_000);
    let mut set = tokio::task::JoinSet::new();
    for n in 0..200 {
        let tokens = tokens.clone();
        set.spawn(async move {
            tokens
                .person(&token(&format!("guess-{n}")), TokenHeader::Bearer)
                .await
        });
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(sim.asked(), AT_ONCE);
    while let Some(told) = set.join_next().await {
        assert_eq!(told.unwrap(), Err(Unreachable));
    }
}

#[tokio::test]
async fn callers_who_go_away_leave_nothing_behind() {
    let sim = Arc::new(Sim {
        slow: Some(tokio::sync::Notify::new()),
        ..Sim::default()
    });
    let (tokens, _clock) = tokens(&sim, 10);
    for n in 0..100 {
        let (text, slow) = (token(&format!("guess-{n}")), token("the same"));
        let mut one = std::pin::pin!(tokens.person(&text, TokenHeader::Bearer));
        let mut two = std::pin::pin!(tokens.person(&slow, TokenHeader::Bearer));
        assert!(futures::poll!(&mut one).is_pending());
        assert!(futures::poll!(&mut two).is_pending());
    }
    assert!(tokens.asking.lock().is_empty());
}

#[tokio::test]
async fn what_is_too_long_for_a_token_is_not_asked_about() {
    let sim = Arc::new(Sim::default());
    let (tokens, _clock) = tokens(&sim, 10);
    let long = token(&"x".repeat(LONGEST + 1));
    let told = tokens.person(&long, TokenHeader::Private).await;
    assert_eq!(told, Ok((None, Source::Remembered)));
    assert_eq!(sim.asked(), 0);
}
