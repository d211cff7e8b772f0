// SPDX-License-Identifier: GPL-2.0

//! The commands `kwasmi sign` and `kwasmi verify`.

use super::{
    complain,
    print,
    print_bytes, //
};
use crate::{
    cli::signing::{
        SignArgs,
        VerifyArgs, //
    },
    exit::Exit,
    failure::{
        Failure,
        line, //
    },
    file::{
        self,
        Existing, //
    },
    signing::{
        certificate::Certificate,
        cms::Signature,
        envelope::{
            self,
            Envelope, //
        },
        key::PrivateKey,
        manifest::{
            self,
            Manifest, //
        },
        requirements::Requirements,
        toml_manifest::TomlManifest,
        verdict,
    },
    source::{
        self,
        FILE_BYTES_MAX,
        Source, //
    },
};
use std::{
    path::{
        Path,
        PathBuf, //
    },
    time::SystemTime,
};

/// Permissions of a new module's file, before the umask.
const MODULE_MODE: u32 = 0o666;

/// Reads a certificate file.
pub(super) fn certificate(path: &Path) -> Result<Certificate, Failure> {
    Certificate::read(&file::read(path)?).map_err(|reason| file::wrong(path, reason))
}

pub(super) fn sign(args: &SignArgs) -> Result<Exit, Failure> {
    let source = Source::open(&args.file)?;
    source.check()?;
    let output = match &args.output {
        Some(output) => output.clone(),
        None if source.is_text() => return Err(file::wrong(&args.file, "text format: --output is required")),
        None if source::is_standard(&args.file) => {
            return Err(Failure::new(Exit::Failed, source::name(&args.file), "--output is required"));
        }
        None => args.file.clone(),
    };
    let wasm = source.into_wasm(FILE_BYTES_MAX)?;
    let refused = |reason: String| Failure::new(Exit::Refused, source::name(&args.file), reason);
    let envelope = Envelope::split(&wasm).map_err(refused)?;
    if !envelope.is_whole {
        return Err(refused("not valid Wasm: it does not end with a section".to_owned()));
    }
    let signed = match &args.signature {
        Some(_) => envelope.signed.to_vec(),
        None => {
            let manifest = manifest(args, &envelope)?;
            let manifest = manifest.encode().map_err(|reason| file::wrong(&args.file, reason))?;
            if manifest.len() > envelope::MANIFEST_MAX {
                return Err(file::wrong(
                    &args.file,
                    format!("the manifest is larger than {} bytes", envelope::MANIFEST_MAX),
                ));
            }
            envelope::with_section(envelope.module, envelope::MANIFEST, &manifest)
        }
    };
    let file = match signature(args, &signed)? {
        Some(signature) => envelope::with_section(&signed, envelope::SIGNATURE, &signature),
        None => signed,
    };
    if source::is_standard(&output) {
        print_bytes(&file)?;
    } else {
        file::write(&output, &file, MODULE_MODE, Existing::Replace)?;
    }
    Ok(Exit::Guest(0))
}

/// Returns the signature: a new one for `--key`, or the contents of the file of `--signature`;
/// `None` for `--unsigned`.
fn signature(args: &SignArgs, signed: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let trusted = args.cert.as_deref().map(certificate).transpose()?;
    let (path, signature) = match (&args.key, &args.signature, &trusted) {
        (Some(path), _, Some(certificate)) => {
            let key = PrivateKey::from_pem(&file::read(path)?).map_err(|reason| file::wrong(path, reason))?;
            let signature = Signature::make(signed, &key, certificate).and_then(|signature| signature.encode());
            (path, signature.map_err(|reason| file::wrong(path, reason))?)
        }
        (_, Some(path), _) => {
            let signature = file::read(path)?;
            Signature::read(&signature).map_err(|reason| file::wrong(path, reason))?;
            (path, signature)
        }
        _ => return Ok(None),
    };
    if signature.len() > envelope::SIGNATURE_MAX {
        return Err(file::wrong(path, format!("the signature is larger than {} bytes", envelope::SIGNATURE_MAX)));
    }
    if let Some(certificate) = trusted {
        verdict::signer(signed, &signature, &[certificate]).map_err(|reason| file::wrong(path, reason))?;
    }
    Ok(Some(signature))
}

/// Returns the manifest: that of `--manifest`, else that of the file, else a new one, with the name
/// and version of `--name` and `--version`.
fn manifest(args: &SignArgs, envelope: &Envelope<'_>) -> Result<Manifest, Failure> {
    let path: &PathBuf = args.manifest.as_ref().unwrap_or(&args.file);
    let wrong = |reason| file::wrong(path, reason);
    let requirements = Requirements::of(envelope.module).map_err(|reason| file::wrong(&args.file, reason))?;
    if let (Some(manifest), None) = (envelope.manifest, &args.manifest) {
        let mut manifest = Manifest::read(manifest).map_err(|reason| wrong(format!("its manifest: {reason}")))?;
        if let Some(name) = &args.name {
            manifest::check_name(name).map_err(wrong)?;
            manifest.name.clone_from(name);
        }
        manifest.version = args.version.unwrap_or(manifest.version);
        let missing = requirements.missing_from(&manifest);
        return if missing.is_empty() { Ok(manifest) } else { Err(wrong(missing.join("; "))) };
    }
    let mut toml = match &args.manifest {
        Some(path) => {
            let text =
                String::from_utf8(file::read(path)?).map_err(|error| wrong(source::not_text(&error.utf8_error())))?;
            TomlManifest::read(&text).map_err(wrong)?
        }
        None => TomlManifest::default(),
    };
    toml.name = args.name.clone().or(toml.name);
    toml.version = args.version.map(|version| version.to_string()).or(toml.version);
    if toml.name.is_none() {
        toml.name = Some(name_of(&args.file).ok_or_else(|| {
            wrong("the file's name is not a module name: --name, or a manifest with a name, is required".to_owned())
        })?);
    }
    toml.complete(&requirements).map_err(wrong)
}

/// Returns the file's name without extension, in lower case, if it is a valid module name.
fn name_of(file: &Path) -> Option<String> {
    let name = file.file_stem()?.to_str()?.to_ascii_lowercase();
    manifest::check_name(&name).ok().map(|()| name)
}

pub(super) fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let mut trusted = Vec::new();
    for path in &args.cert {
        let certificate = certificate(path)?;
        if let Some(since) = certificate.expired_for(SystemTime::now()) {
            let days = since.as_secs() / (24 * 60 * 60);
            complain(&file::wrong(
                path,
                format!("warning: the certificate expired {days} days ago; the kernel does not check dates"),
            ));
        }
        trusted.push(certificate);
    }
    let source = Source::open(&args.file)?;
    source.check()?;
    let wasm = source.into_wasm(FILE_BYTES_MAX)?;
    let name = source::name(&args.file);
    match verdict::check(&wasm, &trusted) {
        Ok(accepted) => {
            let manifest::Manifest { name: module, version, .. } = &accepted.manifest;
            print(&format!("{}: {module} {version}, signed by {}\n", line(&name), accepted.signer))?;
            Ok(Exit::Guest(0))
        }
        Err(reason) => Err(Failure::new(Exit::Refused, name, reason)),
    }
}
