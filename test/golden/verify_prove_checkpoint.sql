-- prelude: clinic
-- CALL verify, prove and checkpoint return one row each.
CALL verify('patient', 'p-1');
CALL verify('patient');
CALL verify();
CALL verify(type => 'patient', id => 'p-2');
CALL prove('patient', 'p-1', 2);
CALL prove('patient', 'p-1');
CALL checkpoint();
CALL checkpoint(1);
SELECT size, length(root) AS root FROM eventful.checkpoints ORDER BY size DESC LIMIT 1;
-- What they refuse.
CALL verify('patinet');
CALL verify('patient', 'nobody');
CALL prove('patient', 'p-1', 99);
CALL prove('patient', 'p-1', 0);
CALL prove('patient', NULL, 1);
CALL prove('patient');
CALL verify('a', 'b', 'c');
CALL verify(kind => 'patient');
CALL verfiy();
CALL checkpoint('x');
CALL checkpoint(999999);
SELECT verify('patient');

-- Disk space is given back; nothing else changes.
CALL compact('x');
CALL verify();
