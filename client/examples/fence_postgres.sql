-- A table that only the newest holder of a lease may write. The token is compared in the same transaction as the write, so
-- that no pause, however long, lets an old holder in: whoever comes with a lower token than the highest seen is refused.

CREATE TABLE IF NOT EXISTS fence (lease text PRIMARY KEY, token bigint NOT NULL);
CREATE TABLE IF NOT EXISTS document (name text PRIMARY KEY, body text NOT NULL, token bigint NOT NULL);

CREATE OR REPLACE FUNCTION guarded_write(showing bigint, guarding text, document_name text, new_body text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- Locks the lease's row until the transaction ends, so that a higher token cannot come between the two statements.
    INSERT INTO fence AS f VALUES (guarding, showing)
        ON CONFLICT (lease) DO UPDATE SET token = excluded.token WHERE f.token <= excluded.token;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'token % of lease % is stale', showing, guarding USING ERRCODE = 'TN001';
    END IF;
    INSERT INTO document VALUES (document_name, new_body, showing)
        ON CONFLICT (name) DO UPDATE SET body = excluded.body, token = excluded.token;
END
$$;
