//! What hands out credentials in a cloud: the metadata service of an instance (and of a container) and the service that
//! gives roles, both as strict as AWS's where a client could be careless.
//!
//! The metadata service speaks version 2 only: a GET without a token of its own is refused. The role service looks at
//! who asks, for which role, and with which external id or web identity.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::background::Background;
use crate::http::message::{BodyLength, Head, read_body, read_head};
use crate::keys::TemporaryKeys;
use crate::s3::sign::instant;

/// The path below which a metadata service names roles.
const ROLES: &str = "/latest/meta-data/iam/security-credentials";

/// The path at which a container finds its credentials.
const CONTAINER: &str = "/v2/credentials";

/// The header of a metadata session's length.
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";

type Mint = Arc<dyn Fn() -> TemporaryKeys + Send + Sync>;

/// An answer: status, content type, further headers, body.
struct Answer(u16, &'static str, Vec<(&'static str, String)>, String);

type Answering = Arc<dyn Fn(&Head, &str) -> Answer + Send + Sync>;

/// What a service does in place of its work for a while.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// It answers every request with this status and body.
    Answer(u16, String),
    /// It hangs up.
    HangUp,
}

impl Trouble {
    /// An error as STS writes it.
    pub fn of_sts(status: u16, code: &str, message: &str) -> Trouble {
        let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        Trouble::Answer(status, format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>"))
    }

    /// An error as S3 writes it.
    pub fn of_s3(status: u16, code: &str, message: &str) -> Trouble {
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        Trouble::Answer(status, format!("{head}<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
    }
}

/// A small HTTP server that writes down what it is asked.
#[derive(Debug)]
struct Service {
    url: String,
    calls: Arc<Mutex<Vec<String>>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
    _background: Background,
}

/// The metadata service of an instance that has a role.
#[derive(Debug)]
pub struct MetadataService(Service);

/// The service that gives roles.
#[derive(Debug)]
pub struct RoleService(Service);

/// A service that sends everybody elsewhere.
#[derive(Debug)]
pub struct Redirector(Service);

/// What a role asks of those who want it.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The role.
    pub role_arn: String,
    /// The access key that may have it.
    pub access_key: String,
    /// What must be sent along.
    pub external_id: String,
    /// The web identity that may have it without a key.
    pub web_identity: String,
}

impl MetadataService {
    /// A service whose role has these keys.
    pub fn start(mint: impl Fn() -> TemporaryKeys + Send + Sync + 'static) -> MetadataService {
        let token = format!("{:032x}", rand::random::<u128>());
        MetadataService(Service::start("metadata", Arc::new(move |head, _| metadata(head, &token, &mint))))
    }

    /// `http://127.0.0.1:port`, for `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Where a container's credentials are, for `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub fn container_url(&self) -> String {
        format!("{}{CONTAINER}", self.0.url)
    }

    /// Has it in trouble from now on, or no longer.
    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        self.0.set_trouble(trouble);
    }

    /// How often credentials were fetched.
    pub fn fetched(&self) -> usize {
        self.0.calls_of(&format!("GET {ROLES}/backup-role"))
    }
}

impl RoleService {
    /// A service that gives one role to one who has earned it.
    pub fn start(trust: Trust, mint: impl Fn() -> TemporaryKeys + Send + Sync + 'static) -> RoleService {
        let mint: Mint = Arc::new(mint);
        RoleService(Service::start("roles", Arc::new(move |head, body| assume_role(head, body, &trust, &mint))))
    }

    /// `http://127.0.0.1:port`, for `aws.s3.sts.endpoint`.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Has it in trouble from now on, or no longer.
    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        self.0.set_trouble(trouble);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.0.calls_of("POST /")
    }
}

impl Redirector {
    /// A service that answers every request with this status and address.
    pub fn start(status: u16, to: &str) -> Redirector {
        let to = to.to_string();
        let answering = move |_: &Head, _: &str| {
            let body = "<Error><Code>TemporaryRedirect</Code><Message>Please re-send this request.</Message></Error>";
            Answer(status, "application/xml", vec![("Location", to.clone())], body.to_string())
        };
        Redirector(Service::start("redirector", Arc::new(answering)))
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Requests so far.
    pub fn asked(&self) -> usize {
        self.0.calls.lock().unwrap().len()
    }
}

fn metadata(head: &Head, token: &str, mint: &dyn Fn() -> TemporaryKeys) -> Answer {
    let text = |status, body: &str| Answer(status, "text/plain", Vec::new(), body.to_string());
    let Some((method, target)) = head.request() else {
        return text(400, "");
    };
    if (method, target) == ("PUT", "/latest/api/token") {
        return match head.header(TTL_HEADER) {
            Some(ttl) => Answer(200, "text/plain", vec![(TTL_HEADER, ttl.to_string())], token.to_string()),
            None => text(400, "no time to live"),
        };
    }
    if target != CONTAINER && head.header("x-aws-ec2-metadata-token") != Some(token) {
        return text(401, "");
    }
    match target.trim_end_matches('/') {
        ROLES => text(200, "backup-role"),
        path if path == CONTAINER || path.strip_prefix(ROLES) == Some("/backup-role") => {
            let keys = mint();
            let body = serde_json::json!({
                "Code": "Success",
                "LastUpdated": instant(std::time::SystemTime::now()),
                "Type": "AWS-HMAC",
                "AccessKeyId": keys.access_key,
                "SecretAccessKey": keys.secret_key,
                "Token": keys.session_token,
                "Expiration": instant(keys.expiration),
            });
            Answer(200, "application/json", Vec::new(), body.to_string())
        }
        _ => text(404, ""),
    }
}

fn assume_role(head: &Head, body: &str, trust: &Trust, mint: &Mint) -> Answer {
    let xml = |status, body: String| Answer(status, "text/xml", Vec::new(), body);
    let refuse = |code: &str, message: &str| {
        let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        xml(403, format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>"))
    };
    let field = |name: &str| {
        let value = body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let encoded = [("%3A", ":"), ("%2F", "/"), ("%2B", "+"), ("%3D", "=")];
        encoded.iter().fold(value.unwrap_or_default().to_string(), |text, (code, letter)| text.replace(code, letter))
    };
    let by_web_identity = field("Action") == "AssumeRoleWithWebIdentity";
    if by_web_identity && field("WebIdentityToken") != trust.web_identity {
        return refuse("InvalidIdentityToken", "The web identity token is not valid.");
    }
    let signed_by = head.header("authorization").unwrap_or_default();
    if !by_web_identity && !signed_by.contains(&format!("Credential={}/", trust.access_key)) {
        return refuse("InvalidClientTokenId", "The security token included in the request is invalid.");
    }
    let earned = by_web_identity || field("Action") == "AssumeRole" && field("ExternalId") == trust.external_id;
    if !earned || field("RoleArn") != trust.role_arn {
        return refuse("AccessDenied", &format!("not authorized to perform: sts:AssumeRole on {}", field("RoleArn")));
    }
    let keys = mint();
    let action = field("Action");
    xml(
        200,
        format!(
            "<{action}Response><{action}Result><Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}\
             </SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>\
             <AssumedRoleUser><AssumedRoleId>AROA:ebla</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>\
             </{action}Result></{action}Response>",
            keys.access_key,
            keys.secret_key,
            keys.session_token,
            instant(keys.expiration),
            trust.role_arn
        ),
    )
}

impl Service {
    fn start(name: &str, answering: Answering) -> Service {
        let background = Background::new(name);
        let listener = background.listen();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let trouble = Arc::new(Mutex::new(None));
        let (written, troubled) = (Arc::clone(&calls), Arc::clone(&trouble));
        background.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (answering, calls, trouble) = (Arc::clone(&answering), Arc::clone(&written), Arc::clone(&troubled));
                tokio::spawn(async move {
                    // A client that closes in the middle is the client's affair.
                    let _ = serve(client, &answering, &calls, &trouble).await;
                });
            }
        });
        Service { url, calls, trouble, _background: background }
    }

    fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
    }

    fn calls_of(&self, call: &str) -> usize {
        self.calls
            .lock()
            .unwrap()
            .iter()
            .filter(|made| made.trim_end_matches('/') == call.trim_end_matches('/'))
            .count()
    }
}

async fn serve(
    client: TcpStream,
    answering: &Answering,
    calls: &Mutex<Vec<String>>,
    trouble: &Mutex<Option<Trouble>>,
) -> io::Result<()> {
    let (read, mut write) = client.into_split();
    let mut read = BufReader::new(read);
    while let Some(head) = read_head(&mut read).await? {
        let body = read_body(&mut read, BodyLength::of_request(&head)).await?;
        if let Some((method, target)) = head.request() {
            calls.lock().unwrap().push(format!("{method} {target}"));
        }
        let trouble = trouble.lock().unwrap().clone();
        let Answer(status, content_type, headers, text) = match trouble {
            Some(Trouble::HangUp) => return Ok(()),
            Some(Trouble::Answer(status, body)) => Answer(status, "text/xml", Vec::new(), body),
            None => answering(&head, &String::from_utf8_lossy(&body)),
        };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = text.len();
        let answer = format!(
            "HTTP/1.1 {status} Answer\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{headers}\r\n{text}"
        );
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
