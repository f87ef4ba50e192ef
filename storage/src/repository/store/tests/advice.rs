//! What users are told to do about what a store answers, where it takes more than the code of the answer.

use tokio::net::TcpListener;

use super::super::*;
use super::faults::{Answer, canned, put, s3_error};
use super::servers::{SECRET_KEY, s3_properties, s3_store};

/// Goal: keys in each other's place are told as such by a store that does not take them, and nothing of them shows.
#[tokio::test]
async fn keys_that_are_swapped_are_told() {
    let malformed = "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"";
    let day = "the Credential has an incorrect date format \"secondCANARY+x\"";
    for (access_key, swapped) in [("firstCANARY/secondCANARY+x", true), ("AKIDCANARY", false)] {
        for (status, code, message) in [
            ("400 Bad Request", "AuthorizationHeaderMalformed", malformed),
            ("400 Bad Request", "AuthorizationHeaderMalformed", day),
            ("400 Bad Request", "AuthorizationQueryParametersError", malformed),
            ("403 Forbidden", "InvalidAccessKeyId", "no such key"),
        ] {
            let server = canned(vec![s3_error(status, code, message)]).await;
            let properties = s3_properties(&server.endpoint, access_key, SECRET_KEY);
            let store = s3_store("s3://bucket/p", &properties, Patience::Interactive).await;
            let text = put(&store).await.unwrap_err().to_string();
            assert_eq!(text.contains("aws.s3.secret_key swapped?"), swapped, "{text}");
            assert!(text.contains("aws.s3.access_key") && !text.contains("region"), "{text}");
            assert!(!swapped || !text.contains("CANARY"), "{text}");
        }
    }
}

/// Goal: whose keys are revoked while a job runs is told how to go on; whoever makes a repository has none to alter.
#[tokio::test]
async fn a_job_whose_keys_are_not_taken_is_told_how_to_replace_them() {
    for (patience, told) in [(Patience::Job, true), (Patience::Interactive, false)] {
        for code in ["InvalidAccessKeyId", "SignatureDoesNotMatch"] {
            let server = canned(vec![s3_error("403 Forbidden", code, "no")]).await;
            let properties = s3_properties(&server.endpoint, "AKIDCANARY", "CANARYsecret");
            let text = put(&s3_store("s3://bucket/p", &properties, patience).await).await.unwrap_err().to_string();
            assert_eq!(
                text.contains("by ALTER REPOSITORY … PROPERTIES") && text.contains("repeat the job"),
                told,
                "{text}"
            );
        }
    }
}

/// Goal: http to a port that speaks TLS is told as that. Method: a server that closes without a word, and one that resets the
/// connection because it has not read what it was sent.
#[tokio::test]
async fn http_to_a_port_that_hangs_up_is_explained() {
    let closes = canned(vec![Answer::Nothing]).await.endpoint;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let resets = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.readable().await;
        }
    });
    for endpoint in [closes, resets] {
        let properties = s3_properties(&endpoint, "AKIDCANARY", SECRET_KEY);
        let store = s3_store("s3://bucket/p", &properties, Patience::Interactive).await;
        let text = put(&store).await.unwrap_err().to_string();
        assert!(text.contains("if its port speaks TLS, write https:// there"), "{text}");
    }
}
