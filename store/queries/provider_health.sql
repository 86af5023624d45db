-- name: outcomes
-- What ended within the time and says something of its provider: it was used, or the provider is at fault.
SELECT provider, now() - ended_at AS age, state = 'used' AS succeeded
  FROM store.attempts
 WHERE begun_at > now() - %(within)s::interval - %(longest)s::interval
   AND ended_at > now() - %(within)s::interval
   AND (state = 'used' OR failure ->> 'fault' = 'provider')
 ORDER BY ended_at, attempt_id;
