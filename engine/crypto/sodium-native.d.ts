/** The part of sodium-native 5.1.0 (libsodium) that the engine uses; the package itself has no types. */
declare module 'sodium-native' {
  interface Sodium {
    /** `out` has 32 bytes. */
    crypto_hash_sha256(out: Uint8Array, input: Uint8Array): void;
    /** BLAKE2b; `out` has 16 to 64 bytes, the key as well. */
    crypto_generichash(out: Uint8Array, input: Uint8Array, key: Uint8Array): void;
    /** SipHash-2-4; `out` has 8 bytes, the key 16. */
    crypto_shorthash(out: Uint8Array, input: Uint8Array, key: Uint8Array): void;
    /** `out` has 16 bytes more than `plain`; the nonce 24, the key 32. */
    crypto_aead_xchacha20poly1305_ietf_encrypt(
      out: Uint8Array,
      plain: Uint8Array,
      additional: Uint8Array,
      unused: null,
      nonce: Uint8Array,
      key: Uint8Array,
    ): void;
    /** Throws when the record does not authenticate. */
    crypto_aead_xchacha20poly1305_ietf_decrypt(
      out: Uint8Array,
      unused: null,
      sealed: Uint8Array,
      additional: Uint8Array,
      nonce: Uint8Array,
      key: Uint8Array,
    ): void;
  }

  const sodium: Sodium;
  export default sodium;
}
