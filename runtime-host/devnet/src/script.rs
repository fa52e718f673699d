//! Checking the signatures of inputs, and showing scripts.
//!
//! Not a script interpreter: the two kinds of output that Core's wallet itself makes spendable,
//! pay-to-public-key-hash and bare public key, are checked as Core checks them. Outputs of other
//! kinds (pay-to-script-hash, OP_RETURN, ...) can be paid to; spending them is refused.

use bitcoin::hashes::{Hash, hash160};
use bitcoin::hex::DisplayHex;
use bitcoin::opcodes::{Opcode, all};
use bitcoin::script::{Instruction, PushBytesBuf};
use bitcoin::secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey, ecdsa};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{Script, ScriptBuf, Transaction};

use crate::json::{Json, Object};
use crate::network::Address;

/// Why an input may not spend its output; the texts are Core's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// What failed.
    pub message: &'static str,
    /// Whether a block with it would be invalid too, or only relay refuses it.
    pub mandatory: bool,
}

const STACK: ScriptError = mandatory("Operation not valid with the current stack size");
const FALSE: ScriptError =
    mandatory("Script evaluated without error but finished with a false/empty top stack element");
const EQUAL: ScriptError = mandatory("Script failed an OP_EQUALVERIFY operation");
const DER: ScriptError = mandatory("Non-canonical DER signature");
const NULLFAIL: ScriptError =
    mandatory("Signature must be zero for failed CHECK(MULTI)SIG operation");
const KEY: ScriptError = mandatory("Public key is neither compressed or uncompressed");
const UNSUPPORTED: ScriptError = mandatory("the devnet does not run scripts of this kind");
const HIGH_S: ScriptError = policy("Non-canonical signature: S value is unnecessarily high");
const HASH_TYPE: ScriptError = policy("Signature hash type missing or not understood");
const CLEAN_STACK: ScriptError = policy("Extra items left on stack after execution");

const fn mandatory(message: &'static str) -> ScriptError {
    ScriptError {
        message,
        mandatory: true,
    }
}

const fn policy(message: &'static str) -> ScriptError {
    ScriptError {
        message,
        mandatory: false,
    }
}

/// Whether input `index` of `transaction` may spend an output that pays to `script`.
///
/// # Errors
/// The first rule that it breaks.
pub fn verify_input(
    secp: &Secp256k1<All>,
    transaction: &Transaction,
    index: usize,
    script: &Script,
) -> Result<(), ScriptError> {
    let input = transaction.input.get(index).ok_or(STACK)?;
    let mut stack = pushes(&input.script_sig).ok_or(UNSUPPORTED)?;
    let key_bytes = if script.is_p2pkh() {
        let key = stack.pop().ok_or(STACK)?;
        let hash = hash160::Hash::hash(&key);
        if script.as_bytes().get(3..23) != Some(hash.as_byte_array().as_slice()) {
            return Err(EQUAL);
        }
        key
    } else if script.is_p2pk() {
        let bytes = script.as_bytes();
        bytes
            .get(1..bytes.len().saturating_sub(1))
            .ok_or(STACK)?
            .to_vec()
    } else {
        return Err(UNSUPPORTED);
    };
    let signature = stack.pop().ok_or(STACK)?;
    let Some((&hash_type, der)) = signature.split_last() else {
        return Err(FALSE);
    };
    let parsed = ecdsa::Signature::from_der(der).map_err(|_| DER)?;
    let mut low = parsed;
    low.normalize_s();
    if low != parsed {
        return Err(HIGH_S);
    }
    if !(1..=3).contains(&(hash_type & !0x80)) {
        return Err(HASH_TYPE);
    }
    let key = PublicKey::from_slice(&key_bytes).map_err(|_| KEY)?;
    let digest = SighashCache::new(transaction)
        .legacy_signature_hash(index, script, u32::from(hash_type))
        .map_err(|_| STACK)?;
    let message = Message::from_digest(digest.to_byte_array());
    secp.verify_ecdsa(&message, &parsed, &key)
        .map_err(|_| NULLFAIL)?;
    if stack.is_empty() {
        Ok(())
    } else {
        Err(CLEAN_STACK)
    }
}

/// The unlocking script for input `index`, with a key that fits `script`.
#[must_use]
pub fn sign_input(
    secp: &Secp256k1<All>,
    transaction: &Transaction,
    index: usize,
    script: &Script,
    key: &SecretKey,
    hash_type: EcdsaSighashType,
) -> Option<ScriptBuf> {
    let digest = SighashCache::new(transaction)
        .legacy_signature_hash(index, script, hash_type.to_u32())
        .ok()?;
    let message = Message::from_digest(digest.to_byte_array());
    let signature = bitcoin::ecdsa::Signature {
        signature: secp.sign_ecdsa(&message, key),
        sighash_type: hash_type,
    };
    let push = PushBytesBuf::try_from(signature.to_vec()).ok()?;
    let unlocking = ScriptBuf::builder().push_slice(push);
    Some(if script.is_p2pk() {
        unlocking.into_script()
    } else {
        unlocking
            .push_key(&bitcoin::PublicKey::new(key.public_key(secp)))
            .into_script()
    })
}

/// What an unlocking script leaves on the stack, if it does nothing but push.
fn pushes(script: &Script) -> Option<Vec<Vec<u8>>> {
    let mut stack = Vec::new();
    for instruction in script.instructions() {
        match instruction.ok()? {
            Instruction::PushBytes(bytes) => stack.push(bytes.as_bytes().to_vec()),
            Instruction::Op(opcode) => stack.push(vec![small_number(opcode)?]),
        }
    }
    Some(stack)
}

/// The number that OP_1 to OP_16 push.
fn small_number(opcode: Opcode) -> Option<u8> {
    let (code, one, sixteen) = (
        opcode.to_u8(),
        all::OP_PUSHNUM_1.to_u8(),
        all::OP_PUSHNUM_16.to_u8(),
    );
    (one..=sixteen).contains(&code).then(|| code - one + 1)
}

/// An output script as Core shows it.
#[must_use]
pub fn describe(script: &Script) -> Object {
    let described = Object::new()
        .with("asm", asm(script, false))
        .with("hex", script.to_hex_string());
    let kind = if script.is_p2pkh() {
        "pubkeyhash"
    } else if script.is_p2sh() {
        "scripthash"
    } else if script.is_p2pk() {
        "pubkey"
    } else if script.is_op_return() {
        "nulldata"
    } else {
        "nonstandard"
    };
    match Address::of_script(script) {
        Some(address) => described
            .with("reqSigs", Json::int(1))
            .with("type", kind)
            .with("addresses", Json::Array(vec![Json::text(address)])),
        None => described.with("type", kind),
    }
}

/// A script in words. In unlocking scripts the last byte of a signature is shown as its name.
#[must_use]
pub fn asm(script: &Script, signatures: bool) -> String {
    let mut words = Vec::new();
    for instruction in script.instructions() {
        match instruction {
            Ok(Instruction::PushBytes(bytes)) => {
                words.push(push_word(bytes.as_bytes(), signatures))
            }
            Ok(Instruction::Op(opcode)) => words.push(match small_number(opcode) {
                Some(number) => number.to_string(),
                None if opcode == all::OP_PUSHNUM_NEG1 => "-1".to_owned(),
                None => opcode.to_string(),
            }),
            Err(_) => words.push("[error]".to_owned()),
        }
    }
    words.join(" ")
}

fn push_word(bytes: &[u8], signatures: bool) -> String {
    if bytes.len() <= 4 {
        return bitcoin::script::read_scriptint_non_minimal(bytes)
            .unwrap_or_default()
            .to_string();
    }
    if signatures && let Some((&last, der)) = bytes.split_last() {
        let name = match last & !0x80 {
            1 => Some("ALL"),
            2 => Some("NONE"),
            3 => Some("SINGLE"),
            _ => None,
        };
        if let (Some(name), Ok(_)) = (name, ecdsa::Signature::from_der(der)) {
            let anyone = if last & 0x80 == 0 {
                ""
            } else {
                "|ANYONECANPAY"
            };
            return format!("{}[{name}{anyone}]", der.to_lower_hex_string());
        }
    }
    bytes.to_lower_hex_string()
}
