//! Hashes.

use crate::harness::table;

#[test]
fn fields_and_values() {
    table(
        r#"
        HSET h f v => :1~
        HSET h f w => :0~
        HSET h a 1 b 2 a 3 => :2~
        HGET h a => $1~3~
        HGET h missing => $-1~ => _~
        HGET missing f => $-1~ => _~
        HMGET h a missing b => *3~$1~3~$-1~$1~2~ => *3~$1~3~_~$1~2~
        HMGET missing a b => *2~$-1~$-1~ => *2~_~_~
        HMSET h c 3 d 4 => +OK~
        HLEN h => :5~
        HLEN missing => :0~
        HEXISTS h a => :1~
        HEXISTS h x => :0~
        HEXISTS missing x => :0~
        HSTRLEN h f => :1~
        HSTRLEN h x => :0~
        HSTRLEN missing x => :0~
        HSETNX h f v => :0~
        HSETNX h g v => :1~
        HSETNX new f v => :1~
        HDEL h a b x => :2~
        HDEL h a => :0~
        HDEL missing a => :0~
        HGETALL new => *2~$1~f~$1~v~ => %1~$1~f~$1~v~
        HKEYS new => *1~$1~f~
        HVALS new => *1~$1~v~
        HGETALL missing => *0~ => %0~
        HKEYS missing => *0~
        HVALS missing => *0~
        HDEL new f => :1~
        EXISTS new => :0~
        HSET h f => -ERR wrong number of arguments for 'hset' command~
        HSET h => -ERR wrong number of arguments for 'hset' command~
        HSET h a 1 b => -ERR wrong number of arguments for 'hset' command~
        HMSET h f => -ERR wrong number of arguments for 'hmset' command~
        HMSET h a 1 b => -ERR wrong number of arguments for 'hmset' command~
        HGET h => -ERR wrong number of arguments for 'hget' command~
        HMGET h => -ERR wrong number of arguments for 'hmget' command~
        HDEL h => -ERR wrong number of arguments for 'hdel' command~
        HEXISTS h => -ERR wrong number of arguments for 'hexists' command~
        HLEN => -ERR wrong number of arguments for 'hlen' command~
        HKEYS => -ERR wrong number of arguments for 'hkeys' command~
        HSETNX h f => -ERR wrong number of arguments for 'hsetnx' command~
        HSTRLEN h => -ERR wrong number of arguments for 'hstrlen' command~
        HSET e "" "" => :1~
        HGETALL e => *2~$0~~$0~~ => %1~$0~~$0~~
        HGET e "" => $0~~
        "#,
    );
}

#[test]
fn hash_commands_on_another_type() {
    table(
        r#"
        SET k v => +OK~
        HSET k f v => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HSETNX k f v => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HMSET k f v => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HGET k f => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HMGET k f => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HGETALL k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HKEYS k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HVALS k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HDEL k f => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HEXISTS k f => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HLEN k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HSTRLEN k f => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HINCRBY k f 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HINCRBYFLOAT k f 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HRANDFIELD k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HRANDFIELD k 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HSCAN k 0 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HSET h f v => :1~
        GET h => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SADD h x => -WRONGTYPE Operation against a key holding the wrong kind of value~
        INCR h => -WRONGTYPE Operation against a key holding the wrong kind of value~
        APPEND h x => -WRONGTYPE Operation against a key holding the wrong kind of value~
        "#,
    );
}

#[test]
fn counters_in_fields() {
    table(
        r#"
        HINCRBY h n 5 => :5~
        HINCRBY h n -10 => :-5~
        HINCRBY h n x => -ERR value is not an integer or out of range~
        HINCRBY h n 1.5 => -ERR value is not an integer or out of range~
        HSET h n abc => :0~
        HINCRBY h n 1 => -ERR hash value is not an integer~
        HSET h n 9223372036854775807 => :0~
        HINCRBY h n 1 => -ERR increment or decrement would overflow~
        HSET h n " 1" => :0~
        HINCRBY h n 1 => -ERR hash value is not an integer~
        HINCRBYFLOAT h f 10.5 => $4~10.5~
        HINCRBYFLOAT h f 0.1 => $4~10.6~
        HINCRBYFLOAT h f -5 => $3~5.6~
        HINCRBYFLOAT h f x => -ERR value is not a valid float~
        HINCRBYFLOAT h f inf => -ERR value is NaN or Infinity~
        HINCRBYFLOAT h f nan => -ERR value is not a valid float~
        HSET h f abc => :0~
        HINCRBYFLOAT h f 1 => -ERR hash value is not a float~
        HSET h f 5.0e3 => :0~
        HINCRBYFLOAT h f 2.0e2 => $4~5200~
        HSET h f 1e4000 => :0~
        HINCRBYFLOAT h f 1e4000 => $4001~19999999999999999999930927746199247569864985167013915262603016666086523886612684710963643283731018559725528904146247347080435204434735184688344251763901055999922857164868709509003741916428581482602286029340890052521698886912550667484681645118292440881549005398294233636615551133547142412984072625926794737523652159076323224073449362055960837890143714667604039146368752815949475484201165926879162604949493211656142136324532190700498218721963863391884246507744724711441435735719863994233935647070350689772834871897654985336848449029863193930249856853114626014544007308363213275659297436052665246891929319198823377347224802434025196241114978577470668874236958691181654026320853268668072291943222588188998535860195290316633848484168888010092551578633708529397925075039209609296405117663626640398164549621357093933324212544994013992373058404093224395855930061326032107224111364121710341978042139996952609336333737596655698611089033917261091410872535736247926180839681441572590186595846466333978614370986936011927027112104547853049630129071726069902354231331971212343333416485512397924607723742709438362763922759343523877969409010147843237814288544899657831678167956075986560905119173931008398736512269300542937688494349647292557327134874265478613033886622570289137791635623042540468670046405619846878627074337371584628545543335694620804918906298366981385539076659032486485854210894351949913131899718519760514533246864863321973502517201632696641675455704704743637793296687401895705982117938867083410264690245048096869376650276645866170367443311344275730792716942070134428334721234239055210544709542894875121865817578710362082163957943524693115136461535148054604586921089937504163537313649759988752710327840600770191839377357341815521974375323586869434351520701302839075912206365820242729769274524204526408590658559240721072407522630389108106377868436818632492821477312407704277984984888808052684420999238281753711842555977557353895784305613709901570136029454251073479405313925223928802872375869771606841222573490269677330830731382818220928077389337798689759691645885526746079439377205620888879856074270937796549130707260118892512339957378131186841696912076548733134450599098705367301540321103816232023447760630352762781643488174382318029680932816844072926528365856869560362335493954797486084898826210430927768247603157453493935442669117449040942230671725032870566564787664281000519524741591814390836244520616662012060420209925023378917825738961042050860268094764456282701108788780420376653727077506166380659156299234785470650691214587608039579226214408879458110648213842252645342040133418634025671873851391189389820242583982266080704908058831790842661255849152136400941785073584870286158274765548880692392005187999367338706353107360108635843296847163279563328463432919079020913506530675996513329058401705878098937710838578195570606589892899504517583765909589117506677496470350347460146356932519367832874089778150565755833739255982579584367173699358582378148272811053977264209475226411918300947263199233185129685904879716066359404736399506613396724402803012958815398472793043039309323194264619474763947806283779096063426363543937931722720014111693582553425185222951225695949295797203171055332455477859378256425239362288819811177949887961855896863900196536692919298460611379957084059865584872972905793471850008389565175032946915248705278960180219014591470040920913451276291914044634795568418067997442509922121781833268189761967105501017763338698616695545669008776606174226683756208283224431576660413671962367791003331004040041281178421697804832006312723253746321672451132695500539025199493573720342653613662058175307320682329417617604908045763398098784279148033512292385288831641679181595794101103844669894812009477744664085688178570604668835811992762380343220337690632871066922471804172135871870010126002901044349163544886193076778399978257463358653090696557915576123524037614035205030373706411179751819821416158667210094020231476956210953501100300041259728715651086883913944380545459902413296552699802681344~
        HINCRBY h => -ERR wrong number of arguments for 'hincrby' command~
        HINCRBYFLOAT h f => -ERR wrong number of arguments for 'hincrbyfloat' command~
        "#,
    );
}

#[test]
fn random_fields() {
    table(
        r#"
        HRANDFIELD missing => $-1~ => _~
        HRANDFIELD missing 2 => *0~
        HRANDFIELD missing -2 WITHVALUES => *0~
        HSET h f v => :1~
        HRANDFIELD h => $1~f~
        HRANDFIELD h 1 => *1~$1~f~
        HRANDFIELD h 5 WITHVALUES => *2~$1~f~$1~v~ => *1~*2~$1~f~$1~v~
        HRANDFIELD h -2 => *2~$1~f~$1~f~
        HRANDFIELD h -2 WITHVALUES => *4~$1~f~$1~v~$1~f~$1~v~ => *2~*2~$1~f~$1~v~*2~$1~f~$1~v~
        HRANDFIELD h 0 => *0~
        HRANDFIELD h x => -ERR value is not an integer or out of range~
        HRANDFIELD h 1 BLAH => -ERR syntax error~
        HRANDFIELD h 1 WITHVALUES x => -ERR syntax error~
        HRANDFIELD h -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807~
        HRANDFIELD h -9223372036854775807 WITHVALUES => -ERR value is out of range~
        HRANDFIELD => -ERR wrong number of arguments for 'hrandfield' command~
        "#,
    );
}

#[test]
fn scan_a_hash() {
    table(
        r#"
        HSET h f v => :1~
        HSCAN h 0 => *2~$1~0~*2~$1~f~$1~v~
        HSCAN h 0 NOVALUES => *2~$1~0~*1~$1~f~
        HSCAN h 0 MATCH x* => *2~$1~0~*0~
        HSCAN h 0 MATCH f* COUNT 10 => *2~$1~0~*2~$1~f~$1~v~
        HSCAN h 0 COUNT 0 => -ERR syntax error~
        HSCAN h 0 BLAH => -ERR syntax error~
        HSCAN h x => -ERR invalid cursor~
        HSCAN missing 0 => *2~$1~0~*0~
        HSCAN h => -ERR wrong number of arguments for 'hscan' command~
        "#,
    );
}

#[test]
fn hash_encodings() {
    table(
        r#"
        HSET h f v => :1~
        OBJECT ENCODING h => $8~listpack~
        HSET h long aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa => :1~
        OBJECT ENCODING h => $9~hashtable~
        HLEN h => :2~
        HGET h f => $1~v~
        HDEL h long => :1~
        OBJECT ENCODING h => $9~hashtable~
        TYPE h => +hash~
        COPY h h2 => :1~
        HGETALL h2 => *2~$1~f~$1~v~ => %1~$1~f~$1~v~
        RENAME h h3 => +OK~
        HGETALL h3 => *2~$1~f~$1~v~ => %1~$1~f~$1~v~
        "#,
    );
}

#[test]
fn field_expiry() {
    table(
        r#"
        HSET h a 1 b 2 c 3 => :3~
        HTTL h FIELDS 2 a missing => *2~:-1~:-2~
        HEXPIRE h 100 FIELDS 2 a missing => *2~:1~:-2~
        HTTL h FIELDS 1 a => *1~:100~
        HPEXPIRE h 100000 FIELDS 1 b => *1~:1~
        HTTL h FIELDS 3 a b c => *3~:100~:100~:-1~
        HEXPIRE h 200 NX FIELDS 2 a c => *2~:0~:1~
        HEXPIRE h 200 XX FIELDS 1 a => *1~:1~
        HEXPIRE h 100 GT FIELDS 1 a => *1~:0~
        HEXPIRE h 300 GT FIELDS 1 a => *1~:1~
        HEXPIRE h 200 LT FIELDS 1 a => *1~:1~
        HTTL h FIELDS 1 a => *1~:200~
        HEXPIREAT h 99999999999 FIELDS 1 a => *1~:1~
        HEXPIRETIME h FIELDS 1 a => *1~:99999999999~
        HPEXPIREAT h 99999999999123 FIELDS 1 a => *1~:1~
        HPEXPIRETIME h FIELDS 1 a => *1~:99999999999123~
        HPERSIST h FIELDS 3 a c missing => *3~:1~:1~:-2~
        HTTL h FIELDS 1 a => *1~:-1~
        HEXPIRE missing 100 FIELDS 1 a => *1~:-2~
        HTTL missing FIELDS 1 a => *1~:-2~
        HPERSIST missing FIELDS 1 a => *1~:-2~
        HEXPIRE h x FIELDS 1 a => -ERR value is not an integer or out of range~
        HEXPIRE h -1 FIELDS 1 zzz => -ERR invalid expire time in 'hexpire' command~
        HEXPIRE h 100 FIELDS 0 a => -ERR numfields should be greater than 0 and match the provided number of fields~
        HEXPIRE h 100 FIELDS x a => -ERR value is not an integer or out of range~
        HEXPIRE h 100 FIELDS 2 a => -ERR numfields should be greater than 0 and match the provided number of fields~
        HEXPIRE h 100 BLAH FIELDS 1 a => -ERR Unsupported option BLAH~
        HEXPIRE h 100 NX XX FIELDS 1 a => -ERR NX and XX, GT or LT options at the same time are not compatible~
        HEXPIRE h 100 => -ERR wrong number of arguments for 'hexpire' command~
        HTTL h => -ERR wrong number of arguments for 'httl' command~
        HTTL h FIELDS 2 a => -ERR syntax error~
        HTTL h BLAH 1 a => -ERR syntax error~
        HEXPIRE h 0 FIELDS 1 a => *1~:2~
        HEXISTS h a => :0~
        HEXPIRE h 0 FIELDS 2 b c => *2~:2~:2~
        EXISTS h => :0~
        HSETEX h EX 100 FIELDS 2 a 1 b 2 => :1~
        HTTL h FIELDS 2 a b => *2~:100~:100~
        HSETEX h FIELDS 1 a 2 => :1~
        HTTL h FIELDS 1 a => *1~:-1~
        HSETEX h KEEPTTL FIELDS 1 b 3 => :1~
        HTTL h FIELDS 1 b => *1~:100~
        HSETEX h FNX FIELDS 1 a 5 => :0~
        HSETEX h FXX FIELDS 1 a 5 => :1~
        HSETEX h FNX FIELDS 1 z 5 => :1~
        HSETEX h EX 0 FIELDS 1 a 1 => :1~
        HSETEX h EX x FIELDS 1 a 1 => -ERR value is not an integer or out of range~
        HSETEX h FIELDS 2 a 1 => -ERR numfields should be greater than 0 and match the provided number of fields~
        HSETEX h BLAH FIELDS 1 a 1 => -ERR syntax error~
        HGETEX h EX 100 FIELDS 2 a missing => *2~$-1~$-1~ => *2~_~_~
        HTTL h FIELDS 1 a => *1~:-2~
        HGETEX h PERSIST FIELDS 1 a => *1~$-1~ => *1~_~
        HTTL h FIELDS 1 a => *1~:-2~
        HGETEX h FIELDS 1 a => *1~$-1~ => *1~_~
        HGETEX missing FIELDS 1 a => *1~$-1~ => *1~_~
        HGETEX h EX 0 FIELDS 1 a => *1~$-1~ => *1~_~
        HGETEX h FIELDS 2 a => -ERR numfields should be greater than 0 and match the provided number of fields~
        SET k v => +OK~
        HEXPIRE k 100 FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HTTL k FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HSETEX k FIELDS 1 a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        HGETEX k FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        "#,
    );
}
