// SPDX-License-Identifier: GPL-2.0

//! Signed modules: OpenSSL accepts signatures of `kwasmi sign`, `kwasmi verify` accepts signatures
//! of OpenSSL, and other files are refused.

use kwasmi::{
    signing::{
        certificate::Certificate,
        envelope::{
            self,
            Envelope, //
        },
        manifest::Manifest,
        verdict,
    },
    source,
    uapi::KWASMI_ABI, //
};
use std::{
    fs,
    path::PathBuf,
    process::{
        Command,
        Output,
        Stdio, //
    },
};
use tempfile::TempDir;

const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (i32.const 42))))"#;

/// A working folder that contains `program.wasm`.
struct Work(TempDir);

impl Work {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a folder"));
        this.write("program.wasm", &source::assemble(PROGRAM.as_bytes()).expect("valid text"));
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: &[u8]) {
        fs::write(self.path(name), contents).expect("a file");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect(name)
    }

    fn run(&self, program: &str, args: &str) -> Output {
        let mut command = Command::new(program);
        command.args(args.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command.output().expect(program)
    }

    fn kwasmi(&self, args: &str) -> Output {
        self.run(env!("CARGO_BIN_EXE_kwasmi"), args)
    }

    /// Runs `kwasmi`, which must succeed with empty standard error. Returns its standard output.
    #[track_caller]
    fn done(&self, args: &str) -> String {
        let output = self.kwasmi(args);
        assert_eq!(text(&output.stderr), "", "{args}");
        assert_eq!(output.status.code(), Some(0), "{args}");
        text(&output.stdout)
    }

    /// Runs `kwasmi`, which must fail with `status` and `reason`.
    #[track_caller]
    fn fails(&self, args: &str, status: i32, reason: &str) {
        let output = self.kwasmi(args);
        assert_eq!(text(&output.stderr), format!("kwasmi: {reason}\n"), "{args}");
        assert_eq!(output.status.code(), Some(status), "{args}");
        assert_eq!(text(&output.stdout), "", "{args}");
    }

    #[track_caller]
    fn openssl(&self, args: &str) {
        let output = self.run("openssl", args);
        assert!(output.status.success(), "openssl {args}: {}", text(&output.stderr));
    }

    /// Makes a key and a certificate with OpenSSL: `name.key` and `name.pem`.
    #[track_caller]
    fn openssl_key(&self, name: &str, kind: &str) {
        self.openssl(&format!("req -x509 -nodes -subj /CN={name} -keyout {name}.key -out {name}.pem {kind}"));
    }

    /// Signs `tbs` with OpenSSL; the signature is in `sig`.
    #[track_caller]
    fn openssl_sign(&self, signer: &str, options: &str) {
        self.openssl(&format!(
            "cms -sign -binary -signer {signer}.pem -inkey {signer}.key -outform DER -in tbs -out sig {options}"
        ));
    }

    /// Writes `signed.wasm` with any signature in `sig`, also one that `kwasmi sign` refuses.
    fn attach(&self) {
        self.write("signed.wasm", &envelope::with_section(&self.read("tbs"), envelope::SIGNATURE, &self.read("sig")));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("is text")
}

/// Options of `openssl cms` for a signature in the accepted form.
const PLAIN: &str = "-noattr -nocerts -nosmimecap";

#[test]
fn openssl_accepts_signatures_of_kwasmi() {
    let work = Work::new();
    for algorithm in ["rsa-2048", "p256", "p384"] {
        work.done(&format!("key new --force --algorithm {algorithm} --name {algorithm} --key key --cert cert"));
        work.openssl("verify -x509_strict -check_ss_sig -CAfile cert cert");
        work.done("sign --key key --cert cert -o signed.wasm program.wasm");
        assert!(work.done("verify --cert cert signed.wasm").contains(&format!("signed by {algorithm}: ")));
        let signed = work.read("signed.wasm");
        let envelope = Envelope::split(&signed).expect("well-formed");
        work.write("tbs", envelope.signed);
        work.write("sig", envelope.signature.expect("is there"));
        let verify = "cms -verify -binary -inform DER -in sig -certfile cert -CAfile cert -purpose any -out /dev/null";
        work.openssl(&format!("{verify} -content tbs"));
        assert!(!work.run("openssl", &format!("{verify} -content program.wasm")).status.success());
    }
}

#[test]
fn signatures_of_openssl_are_accepted() {
    let work = Work::new();
    work.done("sign --unsigned --name a -o tbs program.wasm");
    for (name, kind) in [
        ("rsa", "-newkey rsa:2048"),
        ("p256", "-newkey ec -pkeyopt ec_paramgen_curve:P-256"),
        ("p384", "-newkey ec -pkeyopt ec_paramgen_curve:P-384"),
    ] {
        work.openssl_key(name, kind);
        for digest in ["sha256", "sha384", "sha512"] {
            for by in ["", "-keyid"] {
                work.openssl_sign(name, &format!("-md {digest} {by} {PLAIN}"));
                work.done(&format!("sign --signature sig --cert {name}.pem -o signed.wasm tbs"));
                let told = work.done(&format!("verify --cert {name}.pem signed.wasm"));
                assert!(told.starts_with(&format!("signed.wasm: a 0.0.0, signed by {name}: ")), "{told}");
                work.done("inspect signed.wasm");
            }
        }
        // `kwasmi sign` accepts keys of OpenSSL, in both forms.
        work.done(&format!("sign --key {name}.key --cert {name}.pem -o signed.wasm program.wasm"));
        work.openssl(&format!("pkey -in {name}.key -traditional -out old.key"));
        work.done(&format!("sign --key old.key --cert {name}.pem -o signed.wasm program.wasm"));
        work.openssl(&format!("x509 -in {name}.pem -outform DER -out cert.der"));
        work.done("verify --cert cert.der signed.wasm");
    }
}

#[test]
fn signatures_of_other_forms_are_refused() {
    let work = Work::new();
    work.done("sign --unsigned --name a -o tbs program.wasm");
    work.openssl_key("p256", "-newkey ec -pkeyopt ec_paramgen_curve:P-256");
    work.openssl_key("p521", "-newkey ec -pkeyopt ec_paramgen_curve:P-521");
    work.openssl_key("rsa", "-newkey rsa:2048");
    work.openssl_key("weak", "-newkey rsa:1024");
    work.openssl_key("odd", "-newkey rsa:2560");
    let all = "verify --cert p256.pem --cert p521.pem --cert rsa.pem --cert weak.pem --cert odd.pem signed.wasm";
    let shape = "the signature is not accepted: ";
    let cases = [
        ("p256", "-md sha1 -noattr -nocerts", "the digest algorithm 1.3.14.3.2.26 is not SHA-256, SHA-384 or SHA-512"),
        (
            "rsa",
            "-md md5 -noattr -nocerts",
            "the digest algorithm 1.2.840.113549.2.5 is not SHA-256, SHA-384 or SHA-512",
        ),
        ("weak", PLAIN, "an RSA key of less than 2048 bits"),
        (
            "rsa",
            "-noattr -nocerts -keyopt rsa_padding_mode:pss",
            "the signature algorithm 1.2.840.113549.1.1.10 is neither RSA nor ECDSA with SHA-256",
        ),
        ("p256", "-nocerts", "the signature contains signed attributes (openssl cms: -noattr)"),
        ("p256", "-noattr", "the signature contains certificates (openssl cms: -nocerts)"),
        ("p256", "-noattr -nocerts -nodetach", "the signature contains the content: expected a detached signature"),
        ("p256", "-noattr -nocerts -stream -indef", "indefinite length at offset 2"),
        ("p256", "-noattr -nocerts -signer rsa.pem -inkey rsa.key", "2 signers: expected one"),
    ];
    for (signer, options, reason) in cases {
        work.openssl_sign(signer, options);
        work.attach();
        work.fails(all, 126, &format!("signed.wasm: {shape}{reason}"));
        work.fails("sign --signature sig -o other.wasm tbs", 125, &format!("sig: {reason}"));
    }
    // Signatures in the accepted form, by keys that the kernel does not support.
    work.openssl_sign("p521", PLAIN);
    work.attach();
    let reason = "unsupported curve 1.3.132.0.35: expected P-256 or P-384";
    work.fails(all, 126, &format!("signed.wasm: the signer's key is not accepted: {reason}"));
    work.openssl_sign("odd", PLAIN);
    work.attach();
    let reason = "unsupported RSA key of 2560 bits: expected 2048, 3072 or 4096";
    work.fails(all, 126, &format!("signed.wasm: the signer's key is not accepted: {reason}"));
}

#[test]
fn other_encodings_are_refused() {
    let work = Work::new();
    work.done("key new --key key --cert cert");
    work.done("sign --key key --cert cert -o good.wasm program.wasm");
    let file = work.read("good.wasm");
    let envelope = Envelope::split(&file).expect("well-formed");
    let signature = envelope.signature.expect("is there");
    work.write("tbs", envelope.signed);
    // The signature's length field, encoded with one byte more than necessary.
    assert_eq!(signature[..2], [0x30, 0x81]);
    let longer_length = [&[0x30, 0x82, 0], &signature[2..]].concat();
    let nested = (0..30).fold(signature.to_vec(), |inner, _| {
        let len = u16::try_from(inner.len()).expect("short").to_be_bytes();
        [[0x30, 0x82, len[0], len[1]].as_slice(), &inner].concat()
    });
    for (signature, reason) in [
        (vec![], "the signature is not accepted: unexpected end at offset 0"),
        ([signature, &[0]].concat(), "the signature is not accepted: bytes after the end"),
        (signature[..signature.len() - 1].to_vec(), "the signature is not accepted: unexpected end"),
        (longer_length, "the signature is not accepted: a length that does not fit or is not in its shortest form"),
        (nested, "the signature is not accepted: "),
        (vec![0x30; 8192], "the signature is not accepted: "),
        (vec![0; 3 << 20], "a signature of more than 8192 bytes"),
    ] {
        work.write("sig", &signature);
        work.attach();
        let output = work.kwasmi("verify --cert cert signed.wasm");
        assert_eq!(output.status.code(), Some(126));
        let told = text(&output.stderr);
        assert!(told.starts_with(&format!("kwasmi: signed.wasm: {reason}")), "{told}");
        assert_eq!(told.lines().count(), 1);
    }
    work.write("signed.wasm", &envelope::with_section(&file, envelope::SIGNATURE, signature));
    work.fails(
        "verify --cert cert signed.wasm",
        126,
        &format!("signed.wasm: a second signature at offset {}", file.len()),
    );
    work.write("signed.wasm", &envelope::with_section(&file, "x", b""));
    let reason = format!("signed.wasm: a section after the signature at offset {}", file.len());
    work.fails("verify --cert cert signed.wasm", 126, &reason);
}

#[test]
fn every_changed_bit_is_detected() {
    let work = Work::new();
    work.done("key new --key key --cert cert");
    work.done("sign --key key --cert cert program.wasm");
    let file = work.read("program.wasm");
    let trusted = [Certificate::read(&work.read("cert")).expect("a certificate")];
    assert!(verdict::check(&file, &trusted).is_ok());
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut other = file.clone();
            other[at] ^= 1 << bit;
            assert!(verdict::check(&other, &trusted).is_err(), "byte {at}, bit {bit}");
        }
        assert!(verdict::check(&file[..at], &trusted).is_err(), "{at} bytes");
        let mut other = file.clone();
        other[at] = !other[at];
        work.write("other.wasm", &other);
        let output = work.kwasmi("verify --cert cert other.wasm");
        assert_eq!(output.status.code(), Some(126), "byte {at}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "byte {at}");
    }
}

#[test]
fn unsigned_and_untrusted_modules_are_refused() {
    let work = Work::new();
    work.done("key new --name one --key one.key --cert one.pem");
    work.done("key new --name two --key two.key --cert two.pem");
    work.fails("verify --cert one.pem program.wasm", 126, "program.wasm: it is not signed");
    work.fails(
        "sign --key one.key --cert two.pem -o signed.wasm program.wasm",
        125,
        "one.key: the private key does not belong to the certificate",
    );
    work.done("sign --key one.key --cert one.pem -o signed.wasm program.wasm");
    work.done("verify --cert two.pem --cert one.pem signed.wasm");
    let output = work.kwasmi("verify --cert two.pem signed.wasm");
    assert_eq!(output.status.code(), Some(126));
    assert!(text(&output.stderr).contains("signed by a key that is not trusted: one, serial number "));
    // A valid signature of other bytes.
    let signed = work.read("signed.wasm");
    let signature = Envelope::split(&signed).expect("well-formed").signature.expect("is there").to_vec();
    work.write("sig", &signature);
    work.done("sign --unsigned --name other -o tbs program.wasm");
    work.attach();
    let output = work.kwasmi("verify --cert one.pem signed.wasm");
    assert_eq!(output.status.code(), Some(126));
    assert!(text(&output.stderr).contains("the signature does not verify with the key of one: "));
    let output = work.kwasmi("sign --signature sig --cert one.pem -o x.wasm tbs");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn an_expired_certificate_causes_a_warning() {
    let work = Work::new();
    work.openssl_key(
        "old",
        "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -not_before 20200101000000Z -not_after 20210101000000Z",
    );
    work.done("sign --key old.key --cert old.pem program.wasm");
    let output = work.kwasmi("verify --cert old.pem program.wasm");
    assert_eq!(output.status.code(), Some(0));
    let told = text(&output.stderr);
    assert!(told.starts_with("kwasmi: old.pem: warning: the certificate expired "), "{told}");
    // A certificate whose end of validity needs a year of four digits.
    work.done("key new --days 36500 --key key --cert cert");
    work.openssl("verify -x509_strict -CAfile cert cert");
    work.done("sign --key key --cert cert program.wasm");
    work.done("verify --cert cert program.wasm");
}

#[test]
fn a_manifest_is_kept_changed_or_replaced() {
    let work = Work::new();
    work.done("key new --key key --cert cert");
    let manifest = || {
        let file = work.read("program.wasm");
        Manifest::read(Envelope::split(&file).expect("well-formed").manifest.expect("is there")).expect("a manifest")
    };
    let told = || {
        let manifest = manifest();
        format!("{} {} {}", manifest.name, manifest.version, manifest.limits.len())
    };
    work.done("sign --key key --cert cert program.wasm");
    assert_eq!(told(), "program 0.0.0 0");
    work.write("manifest.toml", b"name = \"a\"\nversion = \"1.2.3\"\n[limits]\nfuel = 10\n");
    work.done("sign --key key --cert cert --manifest manifest.toml program.wasm");
    assert_eq!(told(), "a 1.2.3 1");
    let before = work.read("program.wasm");
    work.done("sign --key key --cert cert program.wasm");
    // The signed bytes are the same, and so is the signature: ECDSA here is deterministic.
    assert_eq!(work.read("program.wasm"), before);
    work.done("sign --key key --cert cert --version 2.0.0 program.wasm");
    assert_eq!(told(), "a 2.0.0 1");
    work.done("sign --key key --cert cert --name b --manifest manifest.toml program.wasm");
    assert_eq!(told(), "b 1.2.3 1");
    work.write("manifest.toml", b"name = \"a\"\n[imports]\n");
    let lacking = "the manifest does not list the import wasi_snapshot_preview1.proc_exit";
    let sign = "sign --key key --cert cert --manifest manifest.toml program.wasm";
    work.fails(sign, 125, &format!("manifest.toml: {lacking}"));
    work.write("manifest.toml", b"colour = 1\n");
    let output = work.kwasmi(sign);
    assert!(text(&output.stderr).starts_with("kwasmi: manifest.toml: line 1, column 1: unknown field `colour`"));
    assert_eq!(told(), "b 1.2.3 1");
}

#[test]
fn a_manifest_that_does_not_cover_the_module_is_refused() {
    let work = Work::new();
    work.done("key new --key key --cert cert");
    work.done("sign --unsigned --name a -o tbs program.wasm");
    let file = work.read("tbs");
    let envelope = Envelope::split(&file).expect("well-formed");
    let good = Manifest::read(envelope.manifest.expect("is there")).expect("a manifest");
    let signs = |manifest: &[u8]| {
        work.write("m.wasm", &envelope::with_section(envelope.module, envelope::MANIFEST, manifest));
        let key = kwasmi::signing::key::PrivateKey::from_pem(&work.read("key")).expect("a key");
        let certificate = Certificate::read(&work.read("cert")).expect("a certificate");
        let signature = kwasmi::signing::cms::Signature::make(&work.read("m.wasm"), &key, &certificate);
        let signature = signature.and_then(|signature| signature.encode()).expect("can be signed");
        work.write("m.wasm", &envelope::with_section(&work.read("m.wasm"), envelope::SIGNATURE, &signature));
    };
    let mut other = good.clone();
    other.imports.clear();
    signs(&other.encode().expect("can be encoded"));
    let reason = "the manifest does not list the import wasi_snapshot_preview1.proc_exit";
    work.fails("verify --cert cert m.wasm", 126, &format!("m.wasm: {reason}"));
    let mut other = good;
    other.abi = 99;
    signs(&other.encode().expect("can be encoded"));
    work.fails(
        "verify --cert cert m.wasm",
        126,
        &format!("m.wasm: the manifest wants interface 99, this is {KWASMI_ABI}"),
    );
    signs(b"");
    work.fails("verify --cert cert m.wasm", 126, "m.wasm: the manifest is not accepted: unexpected end");
}

#[test]
fn keys_are_not_overwritten() {
    let work = Work::new();
    work.done("key new --key key --cert cert");
    let (key, cert) = (work.read("key"), work.read("cert"));
    work.fails("key new --key key --cert other", 125, "key: File exists");
    work.fails("key new --key other --cert cert", 125, "cert: File exists");
    assert!(!work.path("other").exists());
    assert_eq!((work.read("key"), work.read("cert")), (key.clone(), cert));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |name: &str| fs::metadata(work.path(name)).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode("key"), 0o600);
    fs::set_permissions(work.path("key"), fs::Permissions::from_mode(0o644)).expect("is ours");
    work.done("key new --force --key key --cert cert");
    assert_ne!(work.read("key"), key);
    assert_eq!(mode("key"), 0o600);
}

#[test]
fn files_that_are_not_keys_or_certificates_are_refused() {
    let work = Work::new();
    work.done("key new --key key --cert cert");
    work.fails("sign --key cert --cert cert program.wasm", 125, "cert: not a private key, but a CERTIFICATE");
    work.fails("sign --key key --cert key program.wasm", 125, "key: not a certificate, but a PRIVATE KEY");
    work.openssl("pkcs8 -topk8 -in key -out encrypted -passout pass:x");
    let reason = "the private key is encrypted; openssl pkey -in KEY -out NEW decrypts it";
    work.fails("sign --key encrypted --cert cert program.wasm", 125, &format!("encrypted: {reason}"));
    work.openssl("genpkey -algorithm ED25519 -out ed25519");
    let output = work.kwasmi("sign --key ed25519 --cert cert program.wasm");
    assert!(text(&output.stderr).starts_with("kwasmi: ed25519: not a private key for RSA, P-256 or P-384: "));
    for name in ["program.wasm", "/dev/null"] {
        let output = work.kwasmi(&format!("verify --cert {name} program.wasm"));
        assert_eq!(output.status.code(), Some(125));
        assert!(text(&output.stderr).starts_with(&format!("kwasmi: {name}: not a certificate: ")));
    }
    // The signature of a changed certificate does not verify.
    work.openssl("x509 -in cert -outform DER -out cert.der");
    let mut der = work.read("cert.der");
    let last = der.len() - 1;
    der[last] ^= 1;
    work.write("cert.der", &der);
    let reason = "cert.der: the self-issued certificate is not signed with its own key";
    work.fails("verify --cert cert.der program.wasm", 125, reason);
}

#[test]
fn text_is_signed_into_another_file() {
    let work = Work::new();
    work.write("program.wat", PROGRAM.as_bytes());
    work.done("key new --key key --cert cert");
    let sign = "sign --key key --cert cert program.wat";
    work.fails(sign, 125, "program.wat: text format: --output is required");
    work.done(&format!("{sign} -o signed.wasm"));
    work.done("verify --cert cert signed.wasm");
    assert_eq!(work.read("program.wat"), PROGRAM.as_bytes());
    work.fails(&format!("{sign} -o /nonexistent/x"), 127, "/nonexistent/x: No such file or directory");
}

#[test]
fn files_that_are_not_modules_are_not_signed() {
    let work = Work::new();
    work.done("key new --key key --cert cert");
    work.write("x.wasm", b"\0asm\x01\0\0\0\x01");
    let sign = "sign --key key --cert cert x.wasm";
    work.fails(sign, 126, "x.wasm: not valid Wasm: it does not end with a section");
    work.write("x.wasm", b"#!/bin/sh\n");
    let reason = "not a WebAssembly module: it begins with 23 21 2f 62, not with 00 61 73 6d";
    work.fails(sign, 126, &format!("x.wasm: {reason}"));
    work.fails("sign --key key --cert cert nothing.wasm", 127, "nothing.wasm: No such file or directory");
}

#[test]
fn the_hash_is_that_of_the_signed_bytes() {
    let work = Work::new();
    let sha256 = |name: &str| {
        let value: serde_json::Value =
            serde_json::from_str(&work.done(&format!("inspect -j {name}"))).expect("is JSON");
        (value["sha256"].as_str().expect("is there").to_owned(), value)
    };
    work.done("sign --unsigned --name a -o tbs program.wasm");
    let (hash, value) = sha256("tbs");
    let output = work.run("sha256sum", "tbs");
    assert_eq!(text(&output.stdout), format!("{hash}  tbs\n"));
    assert_eq!(value["signature"], serde_json::Value::Null);
    for name in ["one", "two"] {
        work.done(&format!("key new --name {name} --key {name}.key --cert {name}.pem"));
        work.done(&format!("sign --key {name}.key --cert {name}.pem -o {name}.wasm tbs"));
        let (signed, value) = sha256(&format!("{name}.wasm"));
        assert_eq!(signed, hash);
        assert!(value["signature"]["by"]["signer"].as_str().expect("is there").starts_with(&format!("{name}, serial")));
        assert_eq!(value["signature"]["by"]["algorithm"], "ECDSA with SHA-256");
        assert_eq!(value["manifest"]["name"], "a");
        assert_eq!(value["manifest"]["imports"]["wasi_snapshot_preview1"][0], "proc_exit");
    }
    assert_ne!(work.read("one.wasm"), work.read("two.wasm"));
}

#[test]
fn policy_commands_need_a_device() {
    if PathBuf::from("/dev/kwasmi").exists() {
        return;
    }
    let work = Work::new();
    work.done("key new --key key --cert cert");
    let line = "/dev/kwasmi: No such file or directory (is the kernel module loaded?)";
    let hash = "0".repeat(64);
    for args in
        ["policy", "deny --list", "min-version --list", "min-version a 1.0.0", "key list", "key add cert", "key seal"]
    {
        work.fails(args, 127, line);
    }
    work.fails(&format!("deny {hash} program.wasm"), 127, line);
    work.fails("deny nothing", 127, "nothing: No such file or directory");
    work.fails(
        "min-version A 1.0.0",
        125,
        "min-version: invalid name 'A': expected 1 to 64 characters of a-z 0-9 . _ -",
    );
    for args in [
        "deny",
        "min-version",
        "min-version a",
        "min-version a 1",
        "min-version --list a 1.0.0",
        "sign program.wasm",
        "verify program.wasm",
    ] {
        assert_eq!(work.kwasmi(args).status.code(), Some(125), "{args}");
    }
}
