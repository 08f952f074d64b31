-- +goose Up

-- Scopes of facts are two more: "service/<service>", of all gateways, and
-- "subscription/<subscription>". What was said for one gateway's service of what
-- the operator is asked once holds for all; of two answers, the newest. The rows
-- stay where they were, too: nothing reads them there any longer.
INSERT INTO onboard_fact (scope, name, value, said, who)
SELECT 'service/' || lower(o.service), f.name, f.value, f.said, f.who
FROM onboard_fact f JOIN onboard o ON o.subject = f.scope
WHERE f.name IN ('agreement', 'partner', 'partner-mail', 'onboarded', 'portal-access')
  AND NOT EXISTS (
    SELECT 1 FROM onboard_fact g JOIN onboard p ON p.subject = g.scope
    WHERE g.name = f.name AND lower(p.service) = lower(o.service)
      AND (g.said > f.said OR g.said = f.said AND g.scope > f.scope));

-- A subscription was enabled where somebody said so of one of its gateways.
INSERT INTO onboard_fact (scope, name, value, said, who)
SELECT DISTINCT 'subscription/' || lower(o.subscription), f.name, f.value, f.said, f.who
FROM onboard_fact f, onboard o
WHERE f.scope = '' AND f.name = 'subscription-enabled'
  AND EXISTS (
    SELECT 1 FROM onboard_event e
    WHERE e.subject = o.subject AND e.what = 'declared' AND e.detail LIKE 'subscription-enabled = %');

-- +goose Down
DELETE FROM onboard_fact WHERE scope LIKE 'service/%' OR scope LIKE 'subscription/%';
