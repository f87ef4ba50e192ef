CREATE TABLE nation (
    n_nationkey INT NOT NULL,
    n_name VARCHAR(25) NOT NULL,
    n_regionkey INT NOT NULL,
    n_comment VARCHAR(152)
)
DUPLICATE KEY (n_nationkey)
DISTRIBUTED BY HASH(n_nationkey) BUCKETS 1
