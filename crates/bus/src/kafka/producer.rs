use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use model::{Offset, Partition};
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::client::Context;
use super::errors::{Refusal, bus_error};
use super::options::KafkaOptions;
use super::records::headers_out;
use crate::{BusError, NewRecord};

/// How long the polling thread sleeps when nothing comes.
const POLL: Duration = Duration::from_millis(500);

/// How long to wait when the library's own queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(5);

/// One idempotent producer and the thread that takes its acknowledgements.
pub(super) struct Producer {
    client: Arc<BaseProducer<Context>>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Producer {
    pub(super) fn start(options: &KafkaOptions, context: Context) -> Result<Self, BusError> {
        let client: BaseProducer<Context> = options
            .producer()
            .create_with_context(context)
            .map_err(|error| BusError::Settings(error.to_string()))?;
        let client = Arc::new(client);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, told) = (client.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || {
                while !told.load(Ordering::Acquire) {
                    polled.poll(POLL);
                }
            })
            .map_err(|error| BusError::Unavailable(error.into()))?;
        Ok(Self {
            client,
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn client(&self) -> &BaseProducer<Context> {
        &self.client
    }

    /// Has it come to an end that only a new producer can mend?
    pub(super) fn is_broken(&self) -> bool {
        self.client.client().fatal_error().is_some()
    }

    /// Sends what waits and ends the thread. Blocks up to `within`, and a little for the thread.
    pub(super) fn close(&self, within: Duration) -> Result<(), BusError> {
        let flushed = self.client.flush(within);
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.lock().take() {
            // It cannot panic but by a defect, and then there is nothing left to do.
            let _ = thread.join();
        }
        flushed.map_err(|error| bus_error("sending what was waiting", &error))
    }

    /// Hands records to the library, in order, and waits until all are acknowledged. `room` is held until then.
    pub(super) async fn send(
        &self,
        records: &[(String, Partition, NewRecord)],
        room: OwnedSemaphorePermit,
    ) -> Result<Vec<Offset>, BusError> {
        let (done, all) = oneshot::channel();
        let batch = Arc::new(Batch {
            offsets: Mutex::new(vec![None; records.len()]),
            left: AtomicUsize::new(records.len()),
            done: Mutex::new(Some(done)),
            failure: Mutex::new(None),
            _room: room,
        });
        for (index, record) in records.iter().enumerate() {
            let ticket = Box::new(Ticket {
                batch: batch.clone(),
                index,
            });
            self.hand_over(record, ticket).await;
        }
        all.await.map_err(|_| BusError::Closed)?;
        if let Some(failure) = batch.failure.lock().take() {
            // Behind "fatal" is a reason.
            if let Some((code, why)) = self.client.client().fatal_error() {
                let what = "sending";
                return Err(Refusal {
                    what,
                    why,
                    code: Some(code),
                }
                .into());
            }
            return Err(bus_error("sending", &failure));
        }
        let offsets = batch.offsets.lock();
        offsets
            .iter()
            .map(|offset| offset.ok_or(BusError::Closed))
            .collect()
    }

    async fn hand_over(&self, record: &(String, Partition, NewRecord), mut ticket: Box<Ticket>) {
        let (topic, partition, record) = record;
        loop {
            let mut out = BaseRecord::<[u8], [u8], Box<Ticket>>::with_opaque_to(topic, ticket)
                .partition(i32::try_from(partition.get()).unwrap_or(i32::MAX))
                .key(&record.key)
                // The library takes 0 for "now".
                .timestamp(record.timestamp.as_micros().div_euclid(1000).max(1));
            if let Some(value) = &record.value {
                out = out.payload(value);
            }
            if !record.headers.is_empty() {
                out = out.headers(headers_out(&record.headers));
            }
            match self.client.send(out) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    ticket = back.delivery_opaque;
                    tokio::time::sleep(QUEUE_FULL).await;
                }
                Err((error, back)) => return back.delivery_opaque.failed(error),
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// The records of one append.
struct Batch {
    offsets: Mutex<Vec<Option<Offset>>>,
    left: AtomicUsize,
    failure: Mutex<Option<KafkaError>>,
    done: Mutex<Option<oneshot::Sender<()>>>,
    _room: OwnedSemaphorePermit,
}

/// Goes with a record to the broker and comes back with the answer.
pub(super) struct Ticket {
    batch: Arc<Batch>,
    index: usize,
}

impl Ticket {
    pub(super) fn delivered(&self, result: &DeliveryResult<'_>) {
        match result {
            Ok(message) => {
                let offset = u64::try_from(message.offset()).ok().map(Offset::new);
                if let Some(place) = self.batch.offsets.lock().get_mut(self.index) {
                    *place = offset;
                }
                self.ended();
            }
            Err((error, _)) => self.failed(error.clone()),
        }
    }

    fn failed(&self, error: KafkaError) {
        self.batch.failure.lock().get_or_insert(error);
        self.ended();
    }

    fn ended(&self) {
        if self.batch.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(done) = self.batch.done.lock().take()
        {
            // Whoever asked may have gone; the records are there all the same.
            let _ = done.send(());
        }
    }
}
