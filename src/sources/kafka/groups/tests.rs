use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kafka_protocol::messages::ApiKey;
use rstest::rstest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::{Manners, Peer};
use super::*;
use crate::sources::meter::Meter;

fn reader(address: &str) -> GroupReader {
    let door = Door { tls: None, login: None, meter: Arc::new(Meter::per_second(1000)) };
    GroupReader::new(vec![address.to_owned()], door)
}

fn names(groups: &[&str]) -> BTreeSet<String> {
    groups.iter().map(|group| (*group).to_owned()).collect()
}

fn commits(offsets: &[Commit]) -> BTreeMap<String, BTreeMap<i32, Commit>> {
    BTreeMap::from([("t".to_owned(), (0..).zip(offsets.iter().copied()).collect())])
}

fn committed(groups: &[(&str, i64)]) -> BTreeMap<String, Vec<(i64, i16)>> {
    groups.iter().map(|(group, offset)| ((*group).to_owned(), vec![(*offset, 0)])).collect()
}

const FIRST: [ApiKey; 4] =
    [ApiKey::ApiVersions, ApiKey::FindCoordinator, ApiKey::OffsetFetch, ApiKey::ListGroups];
const AGAIN: [ApiKey; 2] = [ApiKey::OffsetFetch, ApiKey::ListGroups];

#[tokio::test]
async fn many_groups_take_one_request_and_a_second_look_even_fewer() {
    let peer =
        Peer::start(Manners { commits: committed(&[("a", 1), ("b", 2), ("c", 3)]), ..Manners::default() })
            .await;
    let mut reader = reader(&peer.address);
    let answers = reader.fetch(&names(&["a", "b", "c"])).await;
    assert_eq!(answers["b"].as_ref().unwrap().commits, commits(&[Commit::At(2)]));
    assert_eq!(peer.asked(), FIRST);
    reader.fetch(&names(&["a", "b", "c"])).await;
    assert_eq!(peer.asked(), AGAIN);
}

#[tokio::test]
async fn a_partition_without_an_offset_is_nothing_or_unknown_but_not_zero() {
    let cells = vec![(0, 0), (-1, 0), (7, 3), (-1001, 0)];
    let peer = Peer::start(Manners { commits: [("g".into(), cells)].into(), ..Manners::default() }).await;
    let answers = reader(&peer.address).fetch(&names(&["g"])).await;
    let expected = [Commit::At(0), Commit::Nothing, Commit::Unknown, Commit::Unknown];
    assert_eq!(answers["g"].as_ref().unwrap().commits, commits(&expected));
}

#[rstest]
#[case::classic(Some("Stable"), 5, GroupState::Stable)]
#[case::classic_rebalance(Some("PreparingRebalance"), 5, GroupState::Rebalancing)]
#[case::kip_848_rebalance(Some("Reconciling"), 5, GroupState::Rebalancing)]
#[case::no_members(Some("Empty"), 5, GroupState::Empty)]
#[case::a_new_word(Some("Pondering"), 5, GroupState::Unknown)]
#[case::not_listed_after_a_restart(None, 5, GroupState::Unknown)]
#[case::no_such_group(None, -1, GroupState::Dead)]
#[tokio::test]
async fn state_of_a_group(
    #[case] listed: Option<&'static str>,
    #[case] offset: i64,
    #[case] state: GroupState,
) {
    let peer = Peer::start(Manners {
        commits: if offset < 0 { BTreeMap::new() } else { committed(&[("g", offset)]) },
        states: listed.map(|state| ("g".to_owned(), state)).into_iter().collect(),
        ..Manners::default()
    })
    .await;
    let answers = reader(&peer.address).fetch(&names(&["g"])).await;
    assert_eq!(answers["g"].as_ref().unwrap().state, state);
}

#[tokio::test]
async fn a_coordinator_that_has_moved_is_found_in_the_same_look() {
    let peer = Peer::start(Manners {
        commits: committed(&[("g", 5)]),
        errors: [("g".into(), [code::NOT_COORDINATOR].into())].into(),
        ..Manners::default()
    })
    .await;
    let answers = reader(&peer.address).fetch(&names(&["g"])).await;
    assert_eq!(answers["g"].as_ref().unwrap().commits, commits(&[Commit::At(5)]));
    let again = [ApiKey::FindCoordinator, ApiKey::OffsetFetch, ApiKey::ListGroups];
    assert_eq!(peer.asked(), [&FIRST[..], &again[..]].concat());
}

#[tokio::test]
async fn a_coordinator_that_is_loading_is_asked_at_the_next_look() {
    let peer = Peer::start(Manners {
        commits: committed(&[("g", 5), ("h", 6)]),
        errors: [("g".into(), [code::COORDINATOR_LOAD_IN_PROGRESS].into())].into(),
        ..Manners::default()
    })
    .await;
    let mut reader = reader(&peer.address);
    let answers = reader.fetch(&names(&["g", "h"])).await;
    assert_eq!(answers["g"], Err(Trouble::Coordinator("it is loading")));
    assert!(answers["h"].is_ok(), "only that group");
    assert_eq!(peer.asked(), FIRST);
    assert!(reader.fetch(&names(&["g", "h"])).await["g"].is_ok());
    assert_eq!(peer.asked(), FIRST[1..], "its coordinator was looked up anew");
}

#[tokio::test]
async fn a_missing_right_names_the_group() {
    let peer = Peer::start(Manners {
        commits: committed(&[("g", 5), ("h", 6)]),
        errors: [("g".into(), [code::GROUP_AUTHORIZATION_FAILED].into())].into(),
        ..Manners::default()
    })
    .await;
    let answers = reader(&peer.address).fetch(&names(&["g", "h"])).await;
    assert_eq!(answers["g"], Err(Trouble::GroupForbidden { group: "g".into() }));
    assert!(answers["h"].is_ok());
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_opened_again() {
    let peer = Peer::start(Manners { commits: committed(&[("g", 5)]), ..Manners::default() }).await;
    let mut reader = reader(&peer.address);
    assert!(reader.fetch(&names(&["g"])).await["g"].is_ok());
    peer.asked();
    peer.manners.lock().unwrap().hang_ups = 1;
    assert!(reader.fetch(&names(&["g"])).await["g"].is_ok(), "within the same look");
    assert_eq!(peer.asked(), [ApiKey::ApiVersions, ApiKey::OffsetFetch, ApiKey::ListGroups]);
    peer.manners.lock().unwrap().hang_ups = 2;
    let closed = Trouble::Closed { address: peer.address.clone(), hint: "" };
    assert_eq!(reader.fetch(&names(&["g"])).await["g"], Err(closed), "but only once");
    assert!(reader.fetch(&names(&["g"])).await["g"].is_ok());
}

#[tokio::test]
async fn an_old_broker_is_asked_in_its_own_words() {
    let newest = [(ApiKey::FindCoordinator, 2), (ApiKey::OffsetFetch, 5), (ApiKey::ListGroups, 2)];
    let peer = Peer::start(Manners {
        newest: newest.map(|(key, version)| (key as i16, version)).into(),
        hello: 2,
        commits: committed(&[("g", 5), ("h", 6)]),
        ..Manners::default()
    })
    .await;
    let answers = reader(&peer.address).fetch(&names(&["g", "h"])).await;
    assert_eq!(answers["h"].as_ref().unwrap().commits, commits(&[Commit::At(6)]));
    assert_eq!(answers["h"].as_ref().unwrap().state, GroupState::Unknown, "it cannot list states");
    let each = [ApiKey::FindCoordinator, ApiKey::FindCoordinator, ApiKey::OffsetFetch, ApiKey::OffsetFetch];
    assert_eq!(peer.asked(), [&[ApiKey::ApiVersions, ApiKey::ApiVersions][..], &each[..]].concat());
}

#[rstest]
#[case::http(b"HTTP/1.1 400 Bad Request\r\n\r\n")]
#[case::tls_alert(b"\x15\x03\x03\x00\x02\x02\x28...")]
#[case::negative_length(b"\xff\xff\xff\xff........")]
#[case::another_question(b"\x00\x00\x00\x08\x00\x00\x00\x63\x00\x00\x00\x00")]
#[case::cut_short(b"\x00\x00\x00\x06\x00\x00\x00\x01\x00\x00")]
#[tokio::test]
async fn what_is_not_kafka_is_told_so(#[case] words: &'static [u8]) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut question = [0; 8];
        socket.read_exact(&mut question).await.unwrap();
        socket.write_all(words).await.unwrap();
        let mut rest = Vec::new();
        drop(socket.read_to_end(&mut rest).await);
    });
    let answers = reader(&address).fetch(&names(&["g"])).await;
    assert_eq!(answers["g"], Err(Trouble::NotKafka { address }));
}

#[tokio::test]
async fn a_named_broker_that_is_down_does_not_hide_the_others() {
    let peer = Peer::start(Manners { commits: committed(&[("g", 5)]), ..Manners::default() }).await;
    let mut reader = reader("127.0.0.1:1");
    assert_eq!(
        reader.fetch(&names(&["g"])).await["g"],
        Err(Trouble::Refused { address: "127.0.0.1:1".into() })
    );
    reader.bootstrap.push(peer.address);
    assert!(reader.fetch(&names(&["g"])).await["g"].is_ok());
}

/// A broker that accepts and never says a word, and how many have come to it.
async fn frozen() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let visits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&visits);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            held.push(socket);
        }
    });
    (address, visits)
}

#[tokio::test]
async fn named_brokers_that_are_silent_do_not_hide_the_others_and_are_not_asked_again() {
    let peer = Peer::start(Manners { commits: committed(&[("g", 5)]), ..Manners::default() }).await;
    let ((one, visits), (two, _)) = (frozen().await, frozen().await);
    let mut reader = reader(&one);
    reader.bootstrap.extend([two, peer.address.clone()]);
    assert!(reader.fetch(&names(&["g"])).await["g"].is_ok());
    assert_eq!(visits.load(Ordering::SeqCst), 1);
    // As after a loss of all connections.
    reader.wires.clear();
    reader.coordinators.clear();
    assert!(reader.fetch(&names(&["g"])).await["g"].is_ok());
    assert_eq!(visits.load(Ordering::SeqCst), 1, "the one that answered comes first");
}

#[tokio::test]
async fn more_silent_brokers_than_one_look_can_try_are_gone_through_in_the_next_ones() {
    let peer = Peer::start(Manners { commits: committed(&[("g", 5)]), ..Manners::default() }).await;
    let (silent, _) = frozen().await;
    let mut reader = reader(&silent);
    reader.bootstrap.extend(std::iter::repeat_n(silent, 11));
    reader.bootstrap.push(peer.address.clone());
    assert!(matches!(reader.fetch(&names(&["g"])).await["g"], Err(Trouble::Silent { .. })));
    assert!(reader.fetch(&names(&["g"])).await["g"].is_ok());
}

#[tokio::test]
async fn coordinators_that_are_silent_cost_the_others_no_answer() {
    let (silent, _) = frozen().await;
    let peer = Peer::start(Manners {
        commits: committed(&[("good", 5), ("moved", 6)]),
        errors: [("moved".into(), [code::NOT_COORDINATOR].into())].into(),
        coordinators: [("bad".into(), silent.clone())].into(),
        ..Manners::default()
    })
    .await;
    let mut reader = reader(&peer.address);
    // The one that has moved is with a silent broker now: both rounds wait in vain for somebody.
    reader.coordinators.insert("moved".into(), peer.address.clone());
    peer.manners.lock().unwrap().coordinators.insert("moved".into(), silent.clone());
    let answers = reader.fetch(&names(&["good", "moved", "bad"])).await;
    assert_eq!(answers["good"].as_ref().unwrap().commits, commits(&[Commit::At(5)]));
    for group in ["moved", "bad"] {
        assert!(matches!(&answers[group], Err(Trouble::Silent { address, .. }) if *address == silent));
    }
}
