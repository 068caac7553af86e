//! Places.

use crate::harness::table;

#[test]
fn places() {
    table(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania => :2~
        GEOADD g NX 1 1 Palermo => :0~
        GEOADD g XX CH 13.5 38.1 Palermo 1 1 new => :1~
        GEOADD g CH 13.361389 38.115556 Palermo => :1~
        ZRANGE g 0 -1 WITHSCORES => *4~$7~Palermo~$16~3479099956230698~$7~Catania~$16~3479447370796909~ => *2~*2~$7~Palermo~,3479099956230698~*2~$7~Catania~,3479447370796909~
        GEOPOS g Palermo none Catania => *3~*2~$20~13.36138933897018433~$20~38.11555639549629859~*-1~*2~$20~15.08726745843887329~$20~37.50266842333162032~ => *3~*2~,13.36138933897018433~,38.11555639549629859~_~*2~,15.08726745843887329~,37.50266842333162032~
        GEOPOS none a => *1~*-1~ => *1~_~
        GEOPOS g => *0~
        GEOHASH g Palermo none Catania => *3~$11~sqc8b49rny0~$-1~$11~sqdtr74hyu0~ => *3~$11~sqc8b49rny0~_~$11~sqdtr74hyu0~
        GEOHASH none a => *1~$-1~ => *1~_~
        GEODIST g Palermo Catania => $11~166274.1516~
        GEODIST g Palermo Catania km => $8~166.2742~
        GEODIST g Palermo Catania MI => $8~103.3182~
        GEODIST g Palermo Catania ft => $11~545518.8700~
        GEODIST g Palermo Palermo => $6~0.0000~
        GEODIST g Palermo none => $-1~ => _~
        GEODIST none a b => $-1~ => _~
        GEODIST g a b BLAH => -ERR unsupported unit provided. please use M, KM, FT, MI~
        GEODIST g a b m more => -ERR syntax error~
        GEOADD g 200 0 x => -ERR invalid longitude,latitude pair 200.000000,0.000000~
        GEOADD g 0 86 x => -ERR invalid longitude,latitude pair 0.000000,86.000000~
        GEOADD g x 0 a => -ERR value is not a valid float~
        GEOADD g 0 nan a => -ERR value is not a valid float~
        GEOADD g NX XX 0 0 a => -ERR syntax error~
        GEOADD g GT 0 0 a => -ERR syntax error~
        GEOADD g 0 0 a 1 => -ERR syntax error~
        GEOADD g 180 85 edge -180 -85 edge2 0 0 middle => :3~
        GEOPOS g edge edge2 middle => *3~*2~$3~180~$20~84.99999965213439168~*2~$22~-179.99999731779098511~$21~-84.99999965213439168~*2~$19~0.00000268220901489~$19~0.00000126736058093~ => *3~*2~,180~,84.99999965213439168~*2~,-179.99999731779098511~,-84.99999965213439168~*2~,0.00000268220901489~,0.00000126736058093~
        RPUSH l a => :1~
        GEOADD l 0 0 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GEOPOS l a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GEOHASH l a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GEODIST l a b => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GEOADD g 1 1 => -ERR wrong number of arguments for 'geoadd' command~
        "#,
    );
}

#[test]
fn searches() {
    table(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.758489 38.788135 edge1 17.241510 38.788135 edge2 => :4~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC => *2~$7~Catania~$7~Palermo~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km DESC WITHDIST WITHHASH WITHCOORD => *2~*4~$7~Palermo~$8~190.4424~:3479099956230698~*2~$20~13.36138933897018433~$20~38.11555639549629859~*4~$7~Catania~$7~56.4413~:3479447370796909~*2~$20~15.08726745843887329~$20~37.50266842333162032~ => *2~*4~$7~Palermo~$8~190.4424~:3479099956230698~*2~,13.36138933897018433~,38.11555639549629859~*4~$7~Catania~$7~56.4413~:3479447370796909~*2~,15.08726745843887329~,37.50266842333162032~
        GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHDIST => *4~*2~$7~Catania~$7~56.4413~*2~$7~Palermo~$8~190.4424~*2~$5~edge2~$8~279.7403~*2~$5~edge1~$8~279.7405~
        GEOSEARCH g FROMMEMBER Palermo BYRADIUS 100 mi ASC => *2~$7~Palermo~$5~edge1~
        GEOSEARCH g FROMMEMBER Palermo BYRADIUS 0 m => *1~$7~Palermo~
        GEOSEARCH g BYPOLYGON 4 10 30 20 30 20 40 10 40 ASC WITHDIST => *4~*2~$7~Catania~$11~267053.9696~*2~$7~Palermo~$11~365634.1492~*2~$5~edge2~$11~455736.3631~*2~$5~edge1~$11~455736.4325~
        GEOSEARCH g BYPOLYGON 3 13 38 14 38 13.3 39 => *1~$7~Palermo~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 400 km COUNT 2 => *2~$7~Catania~$7~Palermo~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 400 km COUNT 1 ANY => *1~$7~Palermo~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 400 km COUNT 2 DESC => *2~$5~edge1~$5~edge2~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS inf km COUNT 1 => *1~$7~Catania~
        GEOSEARCH none FROMLONLAT 15 37 BYRADIUS 400 km => *0~
        GEOSEARCH none FROMMEMBER a BYRADIUS 400 km => *0~
        GEOSEARCH g FROMMEMBER none BYRADIUS 400 km => -ERR member none does not exist~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS -1 km => -ERR radius cannot be negative~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS x km => -ERR need numeric radius~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 x => -ERR unsupported unit provided. please use M, KM, FT, MI~
        GEOSEARCH g FROMLONLAT 15 37 BYBOX x 1 km => -ERR need numeric width~
        GEOSEARCH g FROMLONLAT 15 37 BYBOX 1 x km => -ERR need numeric height~
        GEOSEARCH g FROMLONLAT 15 37 BYBOX 1 -1 km => -ERR height or width cannot be negative~
        GEOSEARCH g FROMLONLAT 15 370 BYRADIUS 1 km => -ERR invalid longitude,latitude pair 15.000000,370.000000~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km COUNT 0 => -ERR COUNT must be > 0~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km COUNT x => -ERR value is not an integer or out of range~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km ANY => -ERR the ANY argument requires COUNT argument~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km BLAH => -ERR syntax error~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km STOREDIST => -ERR syntax error~
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km BYBOX 1 1 km => -ERR syntax error~
        GEOSEARCH g FROMLONLAT 15 37 FROMMEMBER a BYRADIUS 1 km => -ERR syntax error~
        GEOSEARCH g FROMLONLAT 15 37 ASC ASC ASC => -ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for GEOSEARCH~
        GEOSEARCH g BYRADIUS 1 km ASC ASC ASC => -ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH~
        GEOSEARCH g BYPOLYGON 2 1 1 2 2 ASC => -ERR GEOSEARCH BYPOLYGON must have at least 3 vertices~
        GEOSEARCH g BYPOLYGON x 1 1 2 2 3 3 => -ERR invalid number of vertices~
        GEOSEARCH g BYPOLYGON 9223372036854775807 1 1 2 2 3 3 => -ERR invalid number of vertices~
        GEOSEARCH g BYPOLYGON 3 1 1 2 2 3 300 => -ERR invalid longitude,latitude pair 3.000000,300.000000~
        RPUSH l a => :1~
        GEOSEARCH l FROMLONLAT 15 37 BYRADIUS 1 km => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GEOSEARCH g FROMLONLAT 15 37 => -ERR wrong number of arguments for 'geosearch' command~
        "#,
    );
}

#[test]
fn what_is_found_is_kept() {
    table(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania => :2~
        GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km => :2~
        ZRANGE d 0 -1 WITHSCORES => *4~$7~Palermo~$16~3479099956230698~$7~Catania~$16~3479447370796909~ => *2~*2~$7~Palermo~,3479099956230698~*2~$7~Catania~,3479447370796909~
        GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1 STOREDIST => :1~
        ZRANGE d 0 -1 => *1~$7~Catania~
        GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST => -ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options~
        GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 1 km => :0~
        EXISTS d => :0~
        GEOSEARCHSTORE g g FROMMEMBER Palermo BYBOX 1 1 km => :1~
        ZRANGE g 0 -1 WITHSCORES => *2~$7~Palermo~$16~3479099956230698~ => *1~*2~$7~Palermo~,3479099956230698~
        GEOSEARCHSTORE d none FROMMEMBER a BYBOX 1 1 km => :0~
        GEOSEARCHSTORE d g FROMMEMBER Palermo => -ERR wrong number of arguments for 'geosearchstore' command~
        "#,
    );
}

#[test]
fn older_searches() {
    table(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania => :2~
        GEORADIUS g 15 37 200 km ASC => *2~$7~Catania~$7~Palermo~
        GEORADIUS g 15 37 200 km WITHDIST WITHCOORD WITHHASH DESC => *2~*4~$7~Palermo~$8~190.4424~:3479099956230698~*2~$20~13.36138933897018433~$20~38.11555639549629859~*4~$7~Catania~$7~56.4413~:3479447370796909~*2~$20~15.08726745843887329~$20~37.50266842333162032~ => *2~*4~$7~Palermo~$8~190.4424~:3479099956230698~*2~,13.36138933897018433~,38.11555639549629859~*4~$7~Catania~$7~56.4413~:3479447370796909~*2~,15.08726745843887329~,37.50266842333162032~
        GEORADIUS g 15 37 200 km COUNT 1 => *1~$7~Catania~
        GEORADIUS g 15 37 200 km STORE d => :2~
        ZRANGE d 0 -1 WITHSCORES => *4~$7~Palermo~$16~3479099956230698~$7~Catania~$16~3479447370796909~ => *2~*2~$7~Palermo~,3479099956230698~*2~$7~Catania~,3479447370796909~
        GEORADIUS g 15 37 200 km STORE d STOREDIST e COUNT 1 => :1~
        ZRANGE e 0 -1 => *1~$7~Catania~
        GEORADIUS g 15 37 200 km STORE d WITHDIST => -ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options~
        GEORADIUS g 15 37 200 km STORE => -ERR syntax error~
        GEORADIUS g 15 37 -1 km => -ERR radius cannot be negative~
        GEORADIUS g 15 37 1 BLAH => -ERR unsupported unit provided. please use M, KM, FT, MI~
        GEORADIUS g 15 x 1 km => -ERR value is not a valid float~
        GEORADIUS none 15 37 1 km => *0~
        GEORADIUS none 15 37 1 km STORE d => :0~
        EXISTS d => :0~
        GEORADIUS_RO g 15 37 200 km DESC => *2~$7~Palermo~$7~Catania~
        GEORADIUS_RO g 15 37 200 km STORE d => -ERR syntax error~
        GEORADIUSBYMEMBER g Palermo 200 km DESC => *2~$7~Catania~$7~Palermo~
        GEORADIUSBYMEMBER g Palermo 200 km STOREDIST d COUNT 1 => :1~
        ZRANGE d 0 -1 WITHSCORES => *2~$7~Palermo~$1~0~ => *1~*2~$7~Palermo~,0~
        GEORADIUSBYMEMBER g none 200 km => -ERR member none does not exist~
        GEORADIUSBYMEMBER none none 200 km => *0~
        GEORADIUSBYMEMBER none none x BLAH STORE d => :0~
        EXISTS d => :0~
        GEORADIUSBYMEMBER g Palermo x km => -ERR need numeric radius~
        GEORADIUSBYMEMBER_RO g Palermo 200 km ASC => *2~$7~Palermo~$7~Catania~
        GEORADIUSBYMEMBER_RO g Palermo 200 km STORE d => -ERR syntax error~
        COMMAND GETKEYS GEORADIUS g 15 37 200 km STORE a STOREDIST b => *2~$1~g~$1~b~
        RPUSH l a => :1~
        GEORADIUS l 15 37 1 km => -WRONGTYPE Operation against a key holding the wrong kind of value~
        "#,
    );
}

/// A word that comes twice was a syntax error; the last one counts, and only different ones exclude each
/// other.
#[test]
fn the_last_centre_and_the_last_shape_count() {
    table(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 2.35 48.85 Paris => :2~
        GEOSEARCH g FROMMEMBER Paris FROMMEMBER Palermo BYRADIUS 1 km => *1~$7~Palermo~
        GEOSEARCH g FROMLONLAT 13 38 FROMLONLAT 2 48 BYRADIUS 1 m BYRADIUS 200 km => *1~$5~Paris~
        GEOSEARCH g BYBOX 1 1 m BYBOX 300 300 km FROMMEMBER Paris => *1~$5~Paris~
        GEOSEARCH g BYPOLYGON 3 1 47 3 47 2 50 BYPOLYGON 3 12 37 16 37 13 39 => *1~$7~Palermo~
        GEOSEARCHSTORE o g BYRADIUS 1 m BYRADIUS 2 km FROMMEMBER Paris => :1~
        GEOSEARCH g FROMMEMBER Paris FROMLONLAT 2 48 BYRADIUS 1 km => -ERR syntax error~
        GEOSEARCH g FROMMEMBER Paris BYRADIUS 1 km BYBOX 1 1 km => -ERR syntax error~
        GEOSEARCH g FROMMEMBER Paris BYPOLYGON 3 1 47 3 47 2 50 => -ERR syntax error~
        GEOSEARCH g BYPOLYGON 3 1 47 3 47 2 50 FROMMEMBER Paris => -ERR syntax error~
        GEOSEARCH g BYPOLYGON 3 1 47 3 47 2 50 BYRADIUS 1 km => -ERR syntax error~
        "#,
    );
}
