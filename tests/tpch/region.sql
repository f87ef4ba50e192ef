CREATE TABLE region (
    r_regionkey INT NOT NULL,
    r_name VARCHAR(25) NOT NULL,
    r_comment VARCHAR(152)
)
DUPLICATE KEY (r_regionkey)
DISTRIBUTED BY HASH(r_regionkey) BUCKETS 1
