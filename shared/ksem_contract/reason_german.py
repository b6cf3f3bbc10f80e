"""All reasons in German: by code a sentence and a remedy, with the parameters of `reason_catalogue`.

Only programs that show reasons to people load it: `Reason.by(GERMAN)`. A test holds that no code and no parameter is
missing. It is one table in the order of `reason_catalogue`, to be read beside it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ksem_contract.reason_catalogue import Template

_METER_REMEDY: Final = (
    "prüfe Strom und Netzwerkkabel des Zählers, [[meter]] host in publisher.toml und ob in den Modbus-Einstellungen des"
    " Zählers der TCP-Slave eingeschaltet ist"
)
_VALUES_REMEDY: Final = (
    "vergleiche mit der Webseite des Zählers; zeigt sie dasselbe, starte den Zähler neu oder tausche ihn aus"
)
_GROUPS_REMEDY: Final = "schalte im Menü des Zählers alle Gruppen ein"
_PACE_REMEDY: Final = "stelle im Modbus-Menü des Zählers kein festes Intervall ein"
_STOP_ONE: Final = "beende einen der beiden"
_OWN_PORTS: Final = "gib jedem Zähler einen eigenen push_port"
_WIRING: Final = "prüfe die Adern A/B, den im Wechselrichter eingestellten Energiezähler und die Unit-ID"
_REPLUG: Final = "sein Ausgang hängt; stecke den Adapter ab und wieder an, oder nimm einen anderen"
_IS_KSEM: Final = "prüfe, ob es ein KSEM ist, und [[meter]] host und unit in publisher.toml"
_ADAPTER: Final = "stecke den Adapter ein und vergleiche [[line]] port in rtu-server.toml mit: ls -l /dev/serial/by-id"
_ON_LINE: Final = "Unit {unit} an {line}: "
_LOGIN: Final = (
    "trage unter [mqtt] username und password_file ein Login ein, das der Broker kennt (mosquitto/make-users legt"
    " welche an), dann: systemctl reload mosquitto"
)
_ONE_CLIENT: Final = (
    "setze share = true in inverter-reader.toml, damit die Verbindung zwischen zwei Abfragen frei ist, oder schalte"
    " einen Modbus-Proxy zwischen den Wechselrichter und seine Clients"
)
_SEE_NODE: Final = (
    "sieh in den Zustand von rtu-server: die Leitung, die Adern A und B und den im Wechselrichter eingestellten"
    " Energiezähler"
)
_SENSOR: Final = (
    "wähle im Servicemenü des Wechselrichters den KOSTAL Smart Energy Meter als Energiezähler (dafür ist der Zugang"
    " eines Installateurs nötig)"
)
_PUBLISHER_STATUS: Final = "auf seinem Rechner: systemctl status ksem-publisher"
_NODE_STATUS: Final = "auf seinem Rechner: systemctl status rtu-server"
_FORGET: Final = "gibt es ihn nicht mehr? Dann lass den Broker ihn vergessen: mosquitto_pub -r -n -t {topic}"
_READ_ALL: Final = (
    "starte ksem-publisher, mit demselben Broker und Präfix wie hier; die ACL des Brokers muss diesen Benutzer"
    " {prefix}/# lesen lassen"
)

_METER: Final[Mapping[str, Template]] = {
    "live-pushed": Template("der Zähler sendet Live-Daten von sich aus"),
    "live-polled": Template("Live-Daten werden abgefragt"),
    "no-live-data": Template("keine Live-Daten"),
    "polled-instead": Template("abgefragt statt vom Zähler gesendet"),
    "polls-unanswered": Template("keine Antworten auf Abfragen"),
    "blocks-unread": Template("noch nicht gelesen: {blocks}"),
    "blocks-old": Template("veraltet: {blocks}"),
    "second-publisher": Template("für diesen Zähler läuft ein zweiter Publisher (Session {sessions})", _STOP_ONE),
    "publisher-contradicted": Template(
        "für diesen Zähler läuft ein zweiter Publisher (er veröffentlicht {topic})", _STOP_ONE
    ),
    "broker-delivers-nothing": Template(
        "der Broker stellt nichts zu, was abonniert ist",
        "lass diesen Benutzer {topic} lesen: korrigiere die ACL des Brokers und lade sie neu",
    ),
    "another-meter": Template("{where} ist ein anderer Zähler: {error}"),
    "serial-changed": Template(
        "ein anderer Zähler antwortet: seine Seriennummer {serial} ist nicht {before}, die zuletzt bekannte; die"
        " Zählerstände beginnen neu",
        "hast du den Zähler nicht getauscht, prüfe seine Adresse; [[meter]] serial lehnt andere ab",
    ),
    "key-file": Template(
        "{error}",
        "",
        "die Datei von [integrity] key_file ist nicht lesbar; die bisherigen Schlüssel gelten weiter",
    ),
    "push-of-another-meter": Template("nicht verwendet: {error}"),
    "push-arrives": Template("ein ganzer Zyklus alle {period} ms"),
    "push-energy-partly": Template("die Register {registers} sendet der Zähler nicht, sie werden abgefragt"),
    "push-off": Template("in [push] abgeschaltet"),
    "push-not-begun": Template(
        "der Zähler hat noch nichts gesendet",
        "trage in seinem Modbus-Menü die Adresse dieses Rechners und den Port aus [push] als Slave ein (so nennt KOSTAL"
        " einen Empfänger)",
    ),
    "push-stopped": Template(
        "der Zähler sendet nicht mehr", "sieh nach den Slaves in seinem Modbus-Menü und nach dem Netzwerk"
    ),
    "push-differs": Template(
        "was {peer} sendet, passt nicht zu den Antworten des Zählers auf Abfragen: zwei Zähler hinter einer Adresse,"
        " oder eine Übertragung, die stillsteht",
        _OWN_PORTS,
    ),
    "push-rival": Template(
        "zwei Verbindungen von {peer} senden zugleich: zwei Zähler hinter einer Adresse; verwendet wird nur der"
        " abgefragte",
        _OWN_PORTS,
    ),
    "push-on-two-connections": Template(
        "die Register {registers} kommen über eine andere Verbindung als der Rest", "suche nach zwei Sendern zugleich"
    ),
    "push-incomplete": Template("die Register {registers} sendet der Zähler nicht", _GROUPS_REMEDY),
    "push-energy-only": Template("der Zähler sendet nur Zählerstände", _GROUPS_REMEDY),
    "push-off-pace": Template(
        "ein Zyklus alle {period} ms, der Zähler misst aber alle {interval} ms (Register 8244): Live-Daten werden"
        " abgefragt, das ist aktueller",
        _PACE_REMEDY,
    ),
    "push-too-slow": Template("ein Zyklus alle {period} s ist zu langsam", _PACE_REMEDY),
    "push-unconfirmed": Template("eine Abfrage muss noch bestätigen, was der Zähler sendet"),
    "push-awaits-cycles": Template("wartet auf ganze Zyklen"),
    "push-queued-slow": Template(
        "der Zähler misst alle {interval} ms (Register 8244), braucht für das Senden eines Zyklus aber {period} ms:"
        " Zyklen stauen sich in ihm und sind alt",
        "schalte in seinem Modbus-Menü Gruppen ab und prüfe, ob das Netzwerk langsam ist",
    ),
    "push-queued-fast": Template(
        "der Zähler misst alle {interval} ms (Register 8244), sendet aber alle {period} ms einen Zyklus: diese Zyklen"
        " haben in ihm gewartet"
    ),
    "push-port-closed": Template(
        "auf {address} kann nicht gehorcht werden: {error}",
        "korrigiere listen und port unter [push] in publisher.toml oder gib den Port frei; es wird weiter versucht",
    ),
    "push-listener-failed": Template("der Empfänger ist ausgefallen und wird neu geöffnet", "sieh ins Log"),
    "push-refused": Template(
        "eine Verbindung von {address} wurde abgelehnt",
        'gehört sie dem Zähler, setze push_from = [{sources}] im [[meter]] mit id = "{meter}"',
    ),
    "push-refused-more": Template("Verbindungen von {count} weiteren Adressen wurden abgelehnt"),
    "push-ambiguous": Template(
        "Verbindungen von {address} werden abgelehnt: das ist die Adresse der Zähler {meters}",
        f"korrigiere ihre Namen oder push_from, oder {_OWN_PORTS}",
    ),
    "cycle-not-repeated": Template(
        "die Schreibzugriffe des Zählers haben sich noch nicht dreimal in derselben Reihenfolge wiederholt"
    ),
    "cycle-writes-twice": Template(
        "der Zähler schreibt einige Register zweimal im Zyklus, darum ist das Ende eines Zyklus nicht zu erkennen",
        "entferne im Modbus-Menü des Zählers Gruppen, die sich überschneiden",
    ),
    "cycle-pace-unclear": Template("der Takt des Zählers ist noch nicht klar"),
    "cycle-burst": Template("die Schreibzugriffe des Zählers kommen stoßweise"),
    "cycle-ambiguous": Template(
        "noch ist nicht klar, wo ein Zyklus endet: seine Schreibzugriffe kommen mit Pausen, und die Leistung ändert"
        " sich zu wenig"
    ),
    "cycle-gap": Template("ein Schreibzugriff kam in falscher Reihenfolge oder fehlte"),
    "cycle-changed": Template("der Zähler schreibt jetzt anderes als vorher"),
    "cycle-pace-changed": Template("der Takt des Zählers hat sich geändert"),
    "cycle-spread": Template(
        "die Schreibzugriffe eines Zyklus sind über {spread} s einer Periode von {period} s verteilt"
    ),
    "cycle-cut-elsewhere": Template("die Summe der Phasen zeigt, dass Zyklen an anderer Stelle beginnen"),
    "cycle-back": Template("der Zähler sendet wieder, sein Takt wird noch gelernt"),
    "poll-answers": Template("der Zähler antwortet"),
    "poll-not-begun": Template("{where} wurde noch nicht abgefragt"),
    "meter-unreachable": Template("keine Verbindung zu {where}", _METER_REMEDY),
    "meter-name-unknown": Template(
        "keine Adresse zu {host}: {error}",
        "korrigiere [[meter]] host in publisher.toml oder den Nameserver des Netzwerks",
    ),
    "poll-not-connected": Template("{read}: nicht verbunden", _METER_REMEDY),
    "poll-unanswered": Template("{read}: keine Antwort in {seconds} s", _METER_REMEDY),
    "poll-failed": Template("{read}: {error}", _METER_REMEDY),
    "poll-exception": Template("{read}: Exception {exception}", _IS_KSEM),
    "not-a-ksem": Template("{where} ist kein KSEM: {error}", _IS_KSEM),
    "identity-refused": Template(
        "der Zähler gibt seine Gerätedaten nicht heraus, darum wird nichts weiter gelesen: {error}", _IS_KSEM
    ),
    "live-refused": Template("der Zähler gibt keine Live-Daten heraus: {error}", _IS_KSEM),
    "block-refused": Template(
        "der Zähler gibt die Register {registers} ({block}) nicht heraus: Exception {exception}", _IS_KSEM
    ),
    "answers-slow": Template(
        "kein ganzer Zyklus ließ sich abfragen, eine Antwort dauert {duration} ms: L3 fehlt",
        "lass den Zähler senden oder suche, was ihn und sein Netzwerk bremst",
    ),
    "frequency-impossible": Template(
        "{frequency} Hz, ein Netz hat {low} bis {high}: das Gerät startet gerade oder ist kein KSEM", _VALUES_REMEDY
    ),
    "power-impossible": Template(
        "die Register {registers} (Wirkleistung gesamt) enthalten {value}: kein Wert oder mehr als 1 MW; der Zähler"
        " startet gerade oder ist kein KSEM",
        _VALUES_REMEDY,
    ),
    "values-frozen": Template(
        "seit mehr als {seconds} s dieselben Werte: der Zähler ist eingefroren", "starte den Zähler neu"
    ),
    "phases-differ": Template(
        "die Leistung der Phasen und die Gesamtleistung liegen {gap} W auseinander", _VALUES_REMEDY
    ),
    "values-missing": Template("die Register {registers} enthalten keinen Wert", _VALUES_REMEDY),
    "phase-power-strange": Template("{phase} hat {power} W", _VALUES_REMEDY),
    "phase-voltage-strange": Template("{phase} hat {voltage} V", _VALUES_REMEDY),
    "counter-backwards": Template("der Zählerstand in Register {register} ging rückwärts", _VALUES_REMEDY),
    "counters-withheld": Template("nicht veröffentlicht: {counters}", _VALUES_REMEDY),
}

_NODE: Final[Mapping[str, Template]] = {
    "inverter-served": Template("der Wechselrichter bekommt Daten"),
    "tcp-served": Template("die Leser bekommen Daten"),
    "unit-off": Template(f"{_ON_LINE}mit enabled = false abgeschaltet"),
    "unit-has-no-port": Template(f"{_ON_LINE}die Schnittstelle ist nicht offen"),
    "port-stuck": Template(f"{_ON_LINE}{{port}} nimmt keine Antworten an", _REPLUG),
    "node-without-broker": Template(f"{_ON_LINE}keine Verbindung zum Broker"),
    "meter-unknown": Template(
        f"{_ON_LINE}vom Zähler {{meter}} kam noch nichts: noch lief kein Publisher, seine ID ist eine andere, oder die"
        " ACL des Brokers hält {topic}/# von diesem Benutzer fern",
        "starte ksem-publisher, korrigiere die ID des Zählers, oder lass diesen Benutzer {topic}/# lesen",
    ),
    "meter-offline": Template(
        f"{_ON_LINE}der Publisher des Zählers {{meter}} meldet offline: es kommen keine Live-Daten",
        "sieh in seinen Zustand",
    ),
    "blocks-missing": Template(
        f"{_ON_LINE}vom Zähler {{meter}} kommt kein Block, und sein Publisher hat sich nicht abgemeldet: Netzwerk oder"
        " Publisher stehen still, oder die ACL des Brokers hält {topic}/block/+ von diesem Benutzer fern",
        "prüfe Netzwerk und Publisher, und lass diesen Benutzer {topic}/block/+ lesen",
    ),
    "blocks-undated": Template(
        f"{_ON_LINE}der Publisher des Zählers {{meter}} beantwortet keinen Ping, darum ist das Alter seiner Blöcke"
        " unbekannt",
        "die ACL des Brokers muss diesen Benutzer {topic}/ping/+ schreiben und {topic}/pong/+ lesen lassen, und den"
        " des Publishers umgekehrt",
    ),
    "blocks-too-old": Template(
        f"{_ON_LINE}die Blöcke des Zählers {{meter}} kommen zu alt an: der Weg vom Publisher ist langsam, oder ein"
        " Live-Block fehlt",
        "sieh in den Zustand des Publishers und nach dem Netzwerk zwischen beiden",
    ),
    "inverter-awaited": Template(f"{_ON_LINE}wartet auf eine Anfrage des Wechselrichters"),
    "inverter-stopped": Template(f"{_ON_LINE}der Wechselrichter fragt nicht mehr an", _WIRING),
    "inverter-unreadable": Template(
        f"{_ON_LINE}es kam keine Anfrage, aber anderer Verkehr",
        f"prüfe baudrate, parity, stopbits und Unit-ID; sonst {_WIRING}",
    ),
    "inverter-silent": Template(f"{_ON_LINE}der Wechselrichter hat noch nie angefragt", _WIRING),
    "requests-refused": Template(
        f"{_ON_LINE}der Wechselrichter fragt nur Bereiche an, die der Zähler nicht hat oder deren Block alt ist oder"
        " fehlt",
        "sieh in requests",
    ),
    "inverter-unserved": Template(
        "der Wechselrichter bekam kurz keine Daten; sie waren wieder da, bevor die Ursache zu sehen war"
    ),
    "node-stopped": Template(
        "der RTU-Server lief nicht oder stand still",
        "sieh in sein Log; auf seinem Rechner: systemctl status rtu-server",
    ),
    "node-name-taken": Template(
        "ein anderer RTU-Server heißt {node} (er veröffentlicht {topic})",
        "beende einen, oder gib jedem einen eigenen Namen ([node] name)",
    ),
    "port-not-opened": Template("noch nicht geöffnet"),
    "port-open": Template("{port} ist offen"),
    "port-shared": Template("{port} ist auch in {program} offen, das uns Bytes wegnimmt", "beende es"),
    "port-feature-missing": Template("{feature}: bietet {port} nicht ({error})"),
    "thread-restarted": Template("sein Thread wurde einmal neu gestartet", "sieh ins Log"),
    "thread-failed": Template("sein Thread wurde neu gestartet ({error})", "sieh ins Log"),
    "port-missing": Template("{port}: diese Schnittstelle gibt es nicht", _ADAPTER),
    "port-unplugged": Template("{port}: der Adapter wurde abgezogen", _ADAPTER),
    "port-forbidden": Template(
        "{port}: kein Zugriff", "der Benutzer des Dienstes muss in der Gruppe der Schnittstelle sein (dialout)"
    ),
    "port-unit-forbids": Template(
        "{port}: nicht erlaubt: die systemd-Unit lässt Schnittstellen dieser Art nicht zu",
        "siehe DeviceAllow= in docs/install.md",
    ),
    "port-busy": Template("{port}: von einem anderen Programm belegt", "beende es; fuser -v {port} nennt es"),
    "port-settings-refused": Template(
        "{port}: die Schnittstelle nimmt diese Einstellungen nicht an",
        "korrigiere baudrate, parity und stopbits unter [[line]]",
    ),
    "port-no-rs485": Template(
        "{port}: rs485 = true, aber ihr Treiber hat keinen RS485-Modus ({error})",
        "setze rs485 = false, wenn der Adapter selbst umschaltet, sonst nimm einen anderen Adapter",
    ),
    "host-out-of-memory": Template("{port}: kein Arbeitsspeicher mehr frei", "schaffe Speicher auf diesem Rechner"),
    "host-out-of-files": Template("{port}: zu viele offene Dateien auf diesem Rechner", "erhöhe sysctl fs.file-max"),
    "process-out-of-files": Template(
        "{port}: zu viele offene Dateien in diesem Prozess", "erhöhe LimitNOFILE= der systemd-Unit"
    ),
    "port-failed": Template("{port}: {error}", "sieh ins Log"),
    "own-error": Template(
        "die Schnittstelle wird nach einem eigenen Fehler neu geöffnet: {error}", "sieh ins Log und melde ihn"
    ),
    "tcp-open": Template("Leser werden auf {address} bedient"),
    "tcp-port-closed": Template(
        "auf {address} kann nicht gehorcht werden: {error}",
        "korrigiere listen und port unter [[tcp]] in rtu-server.toml oder gib den Port frei; es wird weiter versucht",
    ),
}

_BROKER: Final[Mapping[str, Template]] = {
    "broker-not-connected": Template("noch nicht verbunden"),
    "unit-drill": Template(
        _ON_LINE + "für eine Übung werden Daten zurückgehalten (airbridge drill); sie endet von selbst"
    ),
    "unit-silenced": Template(
        _ON_LINE + "schweigt, seit eine Antwort falsch war ({error})",
        "starte rtu-server neu und melde den Fehler mit dem Archiv, das airbridge doctor --bundle schreibt",
    ),
    "unit-stays": Template(
        _ON_LINE + "die Daten sind wieder aktuell und werden bis {stay} s nach der letzten Ablehnung zurückgehalten"
        " (stay)"
    ),
    "mac-missing": Template(
        "Nachrichten über den Zähler {meter} tragen keinen mac und werden abgelehnt",
        "aktualisiere ksem-publisher, oder finde heraus, wer sie sonst veröffentlicht",
    ),
    "mac-without-key": Template(
        "Nachrichten über den Zähler {meter} sind ohne Schlüssel erstellt und werden abgelehnt",
        "gib ksem-publisher den Schlüssel dieses Rechners ([integrity] key_file), oder finde heraus, wer sie sonst"
        " veröffentlicht",
    ),
    "mac-of-another-key": Template(
        "Nachrichten über den Zähler {meter} sind mit einem anderen Schlüssel erstellt oder unterwegs verändert und"
        " werden abgelehnt",
        "trage auf beiden Rechnern denselben Schlüssel in [integrity] key_file ein, oder finde heraus, wer sie sonst"
        " veröffentlicht",
    ),
    "mac-of-unknown-key": Template(
        "Nachrichten über den Zähler {meter} sind mit einem Schlüssel erstellt oder unterwegs verändert und werden"
        " abgelehnt",
        "gib rtu-server den Schlüssel von ksem-publisher ([integrity] key_file)",
    ),
    "broker-connected": Template("verbunden mit {address}"),
    "broker-refuses-topics": Template(
        "der Broker lehnt Abonnements von {topics} ab", "sieh nach seinen Zugriffsrechten"
    ),
    "broker-lacks": Template("der Broker kann nicht alles, was gebraucht wird: {what}"),
    "broker-login": Template("{error}", _LOGIN, "der Broker lehnt das Login ab"),
    "broker-tls": Template(
        "{error}",
        "siehe [mqtt] tls, port, ca_file, cert_file, key_file und docs/security.md",
        "keine sichere Verbindung: ein Zertifikat, ein Schlüssel oder ein Port stimmt nicht",
    ),
    "broker-unreachable": Template(
        "{error}",
        "starte den Broker (systemctl status mosquitto), korrigiere [mqtt] host und port, sieh nach der Firewall",
        "keine Verbindung zur Adresse des Brokers",
    ),
    "broker-silent": Template(
        "{error}",
        "starte den Broker neu; antwortet dort überhaupt ein Broker?",
        "der Broker nimmt die Verbindung an und schweigt",
    ),
    "broker-no-greeting": Template(
        "{error}",
        "siehe [mqtt] tls, port, version und cert_file und docs/security.md",
        "wer dort antwortet, hat die Verbindung geschlossen oder spricht kein MQTT",
    ),
    "broker-refuses": Template(
        "{error}",
        "sieh ins Log und in die Einstellungen des Brokers",
        "der Broker lehnt die Verbindung aus einem anderen Grund ab",
    ),
    "broker-closed": Template("{error}", "sieh ins Log des Brokers", "die Verbindung zum Broker ist beendet"),
    "message-too-large": Template(
        "{address} sendet unter {topics} eine Nachricht mit mehr als {limit} Byte",
        "beende, wer sie veröffentlicht, begrenze den Broker (max_packet_size {limit}){version}",
    ),
    "link-stopped": Template("beendet"),
    "client-id-taken": Template(
        "{error}",
        "gib jedem Dienst eine eigene Client-ID und einen eigenen Namen",
        "ein anderer Client hat sich mit der Client-ID dieses Dienstes verbunden",
    ),
}

_SEEN: Final[Mapping[str, Template]] = {
    "link-connecting": Template("verbindet sich mit dem Broker", "noch ist nichts zu tun"),
    "link-down": Template("keine Verbindung zum Broker"),
    "no-publisher-seen": Template(
        "von keinem Zähler kam bisher etwas",
        _READ_ALL + ". Manche Broker (RabbitMQ) stellen Gespeichertes nur für genaue Topics zu: nenne Zähler und"
        " Knoten in den Einstellungen",
    ),
    "meter-not-seen": Template("vom Zähler {meter} kam bisher nichts", _READ_ALL),
    "meter-only-retained": Template("nur der Broker kennt noch einen Zähler {meter}", _FORGET),
    "publisher-gone": Template("der Publisher des Zählers {meter} ist weg", _PUBLISHER_STATUS),
    "publisher-silent": Template("der Publisher des Zählers {meter} meldet nichts mehr über sich", _PUBLISHER_STATUS),
    "live-data-late": Template(
        "vom Zähler {meter} kommen keine aktuellen Live-Daten",
        "der Publisher ist unbemerkt ausgefallen, der Weg von ihm ist langsam, oder die ACL des Brokers hält"
        " {prefix}/{meter}/block/+ von diesem Benutzer fern",
    ),
    "no-node-seen": Template(
        "von keinem RTU-Server kam bisher etwas",
        "auf dem Rechner beim Wechselrichter: systemctl status rtu-server; sudo airbridge doctor. Er braucht denselben"
        " Broker und dasselbe Präfix wie hier",
    ),
    "node-not-seen": Template("vom RTU-Server {node} kam bisher nichts", _NODE_STATUS),
    "node-only-retained": Template("nur der Broker kennt noch einen RTU-Server {node}", _FORGET),
    "node-gone": Template("der RTU-Server {node} ist weg", _NODE_STATUS),
    "node-silent": Template("der RTU-Server {node} meldet nichts mehr über sich", _NODE_STATUS),
    "notification-undelivered": Template(
        "eine Benachrichtigung an {receiver} war seit {since} {count}-mal nicht zustellbar: {error}",
        "korrigiere diese Zeile in [notify] urls_file und probiere sie aus: ksem-dashboard --notify-test",
    ),
    "notifications-without-library": Template(
        "niemand wird benachrichtigt: die Bibliothek apprise fehlt",
        "installiere sie (pip install 'ksem-airbridge[notify]'; auf Debian: apt install apprise; nach install.sh:"
        " /opt/ksem-airbridge/current/bin/pip install apprise) und starte ksem-dashboard neu",
    ),
    "history-not-written": Template(
        "der Verlauf lässt sich nicht schreiben: {error}",
        "sieh nach, ob der Benutzer des Dashboards in {directory} schreiben darf und ob dort Platz ist",
    ),
    "message-unreadable": Template(
        "eine Nachricht auf {topic} ist nicht lesbar: {error}", "verwende überall dieselbe Version von AirBridge"
    ),
}

_INVERTER: Final[Mapping[str, Template]] = {
    "inverter-starting": Template("der Wechselrichter wurde noch nicht gelesen"),
    "inverter-not-reached": Template(
        "der Wechselrichter ist unter {where} nicht erreichbar: {error}",
        "prüfe seine Stromversorgung, sein Netzwerkkabel und [[inverter]] host in inverter-reader.toml",
    ),
    "inverter-modbus-off": Template(
        "{where} lehnt Verbindungen ab: Modbus ist im Wechselrichter ausgeschaltet",
        "schalte Modbus auf der Webseite des Wechselrichters ein (Einstellungen, Modbus/SunSpec (TCP)) und vergleiche"
        " den Port dort mit [[inverter]] port; ab Werk ist es ausgeschaltet",
    ),
    "inverter-busy": Template(
        "{where} schließt die Verbindung sofort: ein anderes System belegt die einzige, die der Wechselrichter zulässt",
        _ONE_CLIENT,
    ),
    "inverter-no-answer": Template(
        "{where} nimmt Verbindungen an und antwortet nicht: {error}",
        "vergleiche [[inverter]] unit mit der Unit-ID in den Modbus-Einstellungen des Wechselrichters (ab Werk 71)",
    ),
    "inverter-refuses": Template(
        "der Wechselrichter lässt sich nicht lesen: {error}",
        "prüfe, ob Adresse und Port zu einem PLENTICORE oder PIKO IQ gehören und ob seine Software aktuell ist",
    ),
    "inverter-byte-order": Template(
        "der Wechselrichter sendet Zahlen in der Byte-Reihenfolge {found}, eingestellt ist {expected}",
        'setze byte_order = "auto" in inverter-reader.toml',
    ),
    "inverter-implausible": Template(
        "die Zahlen des Wechselrichters ergeben in keiner Byte-Reihenfolge einen Sinn (Frequenz {frequency} Hz)",
        "prüfe, ob Adresse und Port zu einem PLENTICORE oder PIKO IQ gehören",
    ),
    "inverter-meter-kind": Template(
        "der Wechselrichter ist auf einen anderen Energiezähler eingestellt: {kind}, nicht auf einen KSEM", _SENSOR
    ),
    "inverter-without-meter": Template(
        "der Wechselrichter glaubt, er habe keinen Zähler: er zeigt überall 0", _SEE_NODE
    ),
    "inverter-wrong-sign": Template(
        "der Wechselrichter geht von {believed} W aus, geliefert wurden {served} W: das Vorzeichen ist falsch",
        "stelle im Servicemenü des Wechselrichters die Sensorposition auf Netzanschluss; prüfe, dass nur ein Zähler an"
        " der Leitung ist",
    ),
    "inverter-phases-swapped": Template(
        "der Wechselrichter hat eine andere Reihenfolge der Phasen: sein L1, L2, L3 ist {order} des Zählers",
        "vergleiche die Reihenfolge der Phasen an Zähler und Wechselrichter",
    ),
    "inverter-other-power": Template(
        "der Wechselrichter geht von {believed} W aus, geliefert wurden {served} W ({percent} %)",
        "prüfe, dass kein anderer Zähler an der RS485-Leitung des Wechselrichters antwortet, und welcher Zähler in"
        " seinem Menü eingestellt ist",
    ),
    "inverter-stands-still": Template(
        "die Werte des Wechselrichters haben sich seit {seconds} s nicht geändert, die gelieferten schon",
        "sieh im Zustand von rtu-server, was der Wechselrichter anfragt; fragt er nichts an, starte ihn neu",
    ),
    "inverter-lags": Template(
        "der Wechselrichter rechnet mit Werten, die {seconds} s alt sind (üblich sind 0,5 s)",
        "sieh im Zustand von rtu-server nach dem Alter der Daten und der Antwortzeit; sind beide klein, ist der"
        " Wechselrichter selbst langsam",
    ),
    "inverter-no-comparison": Template(
        "vom Zähler {meter} kommen keine Werte zum Vergleichen",
        "sieh nach dem Status des Publishers und [values] enabled, und vergleiche [[inverter]] meter mit der ID des"
        " Zählers",
    ),
    "inverter-answers": Template("{where} antwortet"),
    "inverter-agrees": Template("der Wechselrichter rechnet mit dem, was geliefert wurde"),
    "inverter-comparing": Template("der Wechselrichter wird gelesen; der Vergleich mit dem Zähler hat begonnen"),
    "inverter-reader-silent": Template(
        "von inverter-reader kommt zum Wechselrichter {inverter} nichts mehr",
        "auf seinem Rechner: systemctl status inverter-reader",
    ),
}

GERMAN: Final[Mapping[str, Template]] = MappingProxyType({**_METER, **_NODE, **_BROKER, **_INVERTER, **_SEEN})
"""By code."""
