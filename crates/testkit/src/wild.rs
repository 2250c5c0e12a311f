//! Requests that nobody would think of: drawn from what a service's OpenAPI document says of itself, and bent.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::client::{Answer, Client};

/// Texts on which parsers, databases and file names have stumbled.
const TEXTS: [&str; 46] = [
    "",
    "a",
    "\0",
    "a\0b",
    "..",
    "../..",
    "é",
    "e\u{301}",
    "😀",
    "\\",
    "/",
    "a/b",
    "%",
    "%00",
    "null",
    "-1",
    "0",
    "1",
    "9223372036854775807",
    "9223372036854775808",
    "1e308",
    "NaN",
    "true",
    "2026-01-01T00:00:00Z",
    "-009999-01-02T01:59:59Z",
    "9999-12-30T21:00:00Z",
    "0000-00-00",
    "infinity",
    "'; drop table files; --",
    "\u{202e}",
    "\r\nx: y",
    "\u{7f}",
    "*",
    "name",
    "desc",
    "csv",
    "day",
    "hybrid",
    "{}",
    "[]",
    r#"{"a":1}"#,
    "a=b",
    "\"a\"",
    "W/\"a\"",
    "bytes=0-,1-2,-3",
    "personal",
];
const LONG: usize = 5_000;
/// Most ids that are remembered of answers.
const MOST_IDS: usize = 300;
const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

/// A source of such requests: the same for the same seed, as long as the service answers the same.
pub struct Wild {
    random: StdRng,
    document: Value,
    operations: Vec<(Method, String)>,
    /// Ids that the service has named, for those to come.
    ids: Vec<String>,
}

impl Wild {
    /// Reads the service's document. Of its operations those are left alone that `may_send` refuses.
    pub async fn new(service: &Client, seed: u64, may_send: impl Fn(&Method, &str) -> bool) -> Self {
        let document = service.get("/openapi.json").await.expect(200).json();
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().expect("a document has paths") {
            for name in METHODS.into_iter().filter(|name| item.get(name).is_some()) {
                let method: Method = name.to_uppercase().parse().expect("a method of HTTP");
                if may_send(&method, path) {
                    operations.push((method, path.clone()));
                }
            }
        }
        Self { random: StdRng::seed_from_u64(seed), document, operations, ids: Vec::new() }
    }

    /// Sends one request. None where it can't even be written down.
    pub async fn send(&mut self, service: &Client) -> Option<(String, Answer)> {
        let (method, path) = pick(&mut self.random, &self.operations).clone();
        let operation = self.document["paths"][&path][method.as_str().to_lowercase()].clone();
        let (query, headers) = self.parameters(&operation);
        let address = format!("{}{query}", self.filled(&path));
        let mut request = service.request(method.clone(), &address);
        for (name, value) in &headers {
            request = request.header(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        let (kind, body) = self.body(&operation);
        let shown =
            format!("{method} {address} {headers:?} {kind} {}", String::from_utf8_lossy(&body[..body.len().min(500)]));
        if !kind.is_empty() {
            request = request.header("content-type", kind).body(body);
        }
        let answer = Answer::of(request).await;
        self.learn(&answer);
        Some((shown, answer))
    }

    /// The query and the headers that the operation has, some of them.
    fn parameters(&mut self, operation: &Value) -> (String, Vec<(String, String)>) {
        let (mut query, mut headers) = (Vec::new(), Vec::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default();
            if parameter["in"] == "path" || self.random.random_bool(0.6) {
                continue;
            }
            let value = match name {
                "cursor" => self.cursor(),
                _ => self.value(&parameter["schema"], 0),
            };
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match parameter["in"].as_str() {
                Some("header") => headers.push((name.to_owned(), value)),
                _ => query.push(format!("{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC))),
            }
        }
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        (query, headers)
    }

    /// The path with ids in it: mostly such as there are.
    fn filled(&mut self, path: &str) -> String {
        let mut filled = String::new();
        for part in path.split('/').skip(1) {
            filled.push('/');
            match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                None => filled.push_str(part),
                Some(kind) => {
                    let fitting: Vec<String> = self.ids.iter().filter(|id| id.starts_with(kind)).cloned().collect();
                    let text = if fitting.is_empty() || self.random.random_bool(0.15) {
                        self.text()
                    } else {
                        pick(&mut self.random, &fitting).clone()
                    };
                    filled.push_str(&utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string());
                }
            }
        }
        filled
    }

    fn body(&mut self, operation: &Value) -> (String, Vec<u8>) {
        let Some(content) = operation["requestBody"]["content"].as_object().cloned() else {
            return (String::new(), Vec::new());
        };
        let kinds: Vec<(String, Value)> = content.into_iter().collect();
        let (kind, content) = pick(&mut self.random, &kinds).clone();
        if !kind.contains("json") {
            return (kind, vec![b'x'; self.random.random_range(0..3_000)]);
        }
        let mut body = serde_json::to_vec(&self.value(&content["schema"], 0)).expect("a value can be written");
        if self.random.random_bool(0.03) {
            body.pop();
        }
        (kind, body)
    }

    /// A value as the schema has it, now and then bent.
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if depth > 6 || self.random.random_bool(0.04) {
            return self.anything(depth);
        }
        if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
            let schema = self.document["components"]["schemas"][name].clone();
            return self.value(&schema, depth + 1);
        }
        if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()).or(schema["allOf"].as_array())
        {
            let choice = pick(&mut self.random, choices).clone();
            return self.value(&choice, depth + 1);
        }
        if let Some(values) = schema["enum"].as_array() {
            return pick(&mut self.random, values).clone();
        }
        let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
        match pick(&mut self.random, &kinds).as_str() {
            Some("object") => self.object(schema, depth),
            Some("array") => {
                (0..self.random.random_range(0..4)).map(|_| self.value(&schema["items"], depth + 1)).collect()
            }
            Some("string") => {
                if self.ids.is_empty() || self.random.random_bool(0.5) {
                    self.text().into()
                } else {
                    pick(&mut self.random, &self.ids).clone().into()
                }
            }
            Some("integer" | "number") => self.number(),
            Some("boolean") => self.random.random_bool(0.5).into(),
            Some("null") => Value::Null,
            _ => self.anything(depth),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
            if self.random.random_bool(if is_required { 0.97 } else { 0.5 }) {
                object.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        if object.is_empty() && self.random.random_bool(0.5) {
            object.insert(self.text(), self.anything(depth + 1));
        }
        Value::Object(object)
    }

    /// Sort keys in the form of a cursor, as somebody may make one up.
    fn cursor(&mut self) -> Value {
        let keys: Vec<Value> = match self.random.random_bool(0.5) {
            true => (0..self.random.random_range(1..4)).map(|_| self.anything(3)).collect(),
            // As those of lists in an order are.
            false => {
                let (sort, order) = (
                    pick(&mut self.random, &["name", "size", "created_at", "updated_at"]),
                    pick(&mut self.random, &["asc", "desc"]),
                );
                let id = self.ids.iter().find(|id| id.starts_with("fil")).cloned().unwrap_or_default();
                vec![json!(sort), json!(order), json!(self.text()), json!(id)]
            }
        };
        let json = if let [key] = keys.as_slice() { key.to_string() } else { Value::Array(keys).to_string() };
        URL_SAFE_NO_PAD.encode(json).into()
    }

    fn anything(&mut self, depth: usize) -> Value {
        match self.random.random_range(0..10) {
            0..4 => self.text().into(),
            4..6 => self.number(),
            6 => Value::Null,
            7 => self.random.random_bool(0.5).into(),
            8 if depth < 4 => (0..self.random.random_range(0..4)).map(|_| self.anything(depth + 1)).collect(),
            9 if depth < 4 => Value::Object(Map::from_iter([(self.text(), self.anything(depth + 1))])),
            _ => json!({}),
        }
    }

    fn number(&mut self) -> Value {
        let numbers = [
            json!(0),
            json!(1),
            json!(-1),
            json!(2),
            json!(200),
            json!(1_000),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(0.5),
            json!(1e300),
        ];
        pick(&mut self.random, &numbers).clone()
    }

    fn text(&mut self) -> String {
        match self.random.random_range(0..100) {
            0..3 => "x".repeat(LONG),
            // Plain and new, so that some requests get to where the others' checks lead.
            3..40 => format!("word-{}", self.random.random_range(0..1_000_000)),
            _ => (*pick(&mut self.random, &TEXTS)).to_owned(),
        }
    }

    /// Remembers the ids in an answer.
    fn learn(&mut self, answer: &Answer) {
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        let is_id = |word: &&str| word.len() == 30 && word.as_bytes()[3] == b'_' && word.is_ascii();
        for id in text.split('"').filter(is_id) {
            if self.ids.len() < MOST_IDS && !self.ids.iter().any(|known| known == id) {
                self.ids.push(id.to_owned());
            }
        }
    }
}

fn pick<'a, T>(random: &mut StdRng, from: &'a [T]) -> &'a T {
    &from[random.random_range(0..from.len())]
}
