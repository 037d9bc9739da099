-- API keys: what else they may, and from where. A key that was rotated lives on until it expires.
ALTER TABLE api_keys
    ADD COLUMN can_withdraw      boolean NOT NULL DEFAULT false,
    ADD COLUMN allowed_networks  cidr[] NOT NULL DEFAULT '{}',   -- empty: from everywhere
    ADD COLUMN rotated_from      text UNIQUE REFERENCES api_keys;
CREATE INDEX api_keys_by_account ON api_keys (account_id, created_at_ns);

-- Who signs in: one user for an account. Nothing here is readable without the master key or the password.
CREATE TABLE users (
    login            text PRIMARY KEY,             -- lower case
    account_id       bigint NOT NULL UNIQUE REFERENCES accounts,
    password_hash    text NOT NULL,                -- argon2id, with its parameters
    totp_secret      bytea,                        -- AES-GCM sealed
    totp_active      boolean NOT NULL DEFAULT false,
    totp_last_step   bigint NOT NULL DEFAULT 0,    -- a code is good once
    created_at_ns    bigint NOT NULL,
    CHECK (totp_secret IS NOT NULL OR NOT totp_active)
);

-- One row a sign-in: the family of its refresh tokens. `generation` moves by compare-and-set; a token of
-- an older generation shows that one was stolen, and ends the family.
CREATE TABLE sessions (
    session_id    uuid PRIMARY KEY,
    account_id    bigint NOT NULL REFERENCES accounts,
    generation    integer NOT NULL DEFAULT 1,
    created_at_ns bigint NOT NULL,
    used_at_ns    bigint NOT NULL,
    expires_at_ns bigint NOT NULL,
    ended_at_ns   bigint,
    end_reason    text CHECK (end_reason IN ('signed_out', 'reused', 'password_changed'))
);
CREATE INDEX sessions_by_account ON sessions (account_id) WHERE ended_at_ns IS NULL;
