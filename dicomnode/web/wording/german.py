"""The pages in German."""

from dicomnode.web.wording.catalogue import Catalogue

GERMAN = Catalogue(
    "Deutsch",
    {
        "95 % within": "95 % innerhalb",
        (
            "A sender that is not listed is refused; Associations shows it "
            "with the lines that admit it."
        ): (
            "Ein Sender, der hier fehlt, wird abgewiesen; unter "
            "Assoziationen steht er mit den Zeilen, die ihn zulassen."
        ),
        "Address": "Adresse",
        "Addresses": "Adressen",
        "All its files, results and rows go; what destinations have stays there.": (
            "Alle Dateien, Ergebnisse und Zeilen werden gelöscht; was Ziele haben, "
            "bleibt dort."
        ),
        "Analysed": "Analysiert",
        "Associations": "Assoziationen",
        "At": "Zeit",
        "Attempts": "Versuche",
        "Audit": "Audit",
        "Backfill": "Nachholen",
        "Bundles": "Bündel",
        "C-STORE of every storage SOP Class, C-ECHO, storage commitment": (
            "C-STORE jeder Storage-SOP-Klasse, C-ECHO, Storage Commitment"
        ),
        "Calibration": "Kalibrierung",
        "Called": "Gerufen",
        "Called AE title": "Gerufener AE-Titel",
        "Calling": "Rufend",
        "Cancel": "Abbrechen",
        "Chore": "Aufgabe",
        "Clear": "Zurücksetzen",
        "Connect": "Anschließen",
        "Deliveries": "Zustellungen",
        "Destination": "Ziel",
        "Destinations": "Ziele",
        "Device": "Gerät",
        "Did": "Erledigt",
        "Done": "Fertig",
        "Drift": "Drift",
        "Echo": "Echo",
        "Error": "Fehler",
        "Failed": "Fehlgeschlagen",
        "Failed jobs": "Fehlgeschlagene Aufträge",
        "Figure": "Kennzahl",
        "Filter": "Filtern",
        "Finding": "Befund",
        "From, to": "Von, bis",
        "Go on": "Fortsetzen",
        "Hold": "Zurückhalten",
        "Host": "Rechner",
        "Hosts": "Rechner",
        "Housekeeping": "Haushalt",
        "How long it takes": "Wie lange es dauert",
        "How to admit it": "Wie man ihn zulässt",
        "Images": "Bilder",
        "Instances": "Instanzen",
        "Job": "Auftrag",
        "Jobs": "Aufträge",
        "Jobs an hour": "Aufträge je Stunde",
        "Language": "Sprache",
        "Last did something": "Zuletzt etwas erledigt",
        "Last heard": "Zuletzt gehört",
        "Last run": "Letzter Lauf",
        "Median": "Median",
        "Modality": "Modalität",
        "Models": "Modelle",
        "Most in one hour": "Meiste in einer Stunde",
        "Name": "Name",
        "Name or password is wrong.": "Name oder Passwort ist falsch.",
        "Next attempt": "Nächster Versuch",
        ("No destination is configured; add a [[destination]] to config.toml."): (
            "Kein Ziel ist eingerichtet; ergänzen Sie config.toml um ein "
            "[[destination]]."
        ),
        "No keeper has run yet.": "Noch ist kein Keeper gelaufen.",
        "No peer is configured; add a [[peer]] to config.toml.": (
            "Kein Sender ist eingerichtet; ergänzen Sie config.toml um ein [[peer]]."
        ),
        "No pipeline is configured; add a [[pipeline]] to config.toml.": (
            "Keine Pipeline ist eingerichtet; ergänzen Sie config.toml um "
            "ein [[pipeline]]."
        ),
        "No study here yet. See Connect for how to send one.": (
            "Noch keine Studie. Unter Anschließen steht, wie man eine sendet."
        ),
        "Nobody has called yet.": "Noch hat niemand gerufen.",
        "Not analysed": "Nicht analysiert",
        "Nothing is stuck.": "Nichts steckt fest.",
        "Nothing is to be sent.": "Es ist nichts zu senden.",
        "Nothing was brought in from an archive yet.": (
            "Aus einem Archiv wurde noch nichts geholt."
        ),
        "Nothing was watched yet.": "Noch wurde nichts beobachtet.",
        "Notice": "Hinweis",
        "Older": "Ältere",
        "Oldest waiting job": "Ältester wartender Auftrag",
        "On": "An",
        "Only refused": "Nur abgewiesene",
        "Not reached since": "Nicht erreichbar seit",
        "Operating points": "Arbeitspunkte",
        "Outcome": "Ausgang",
        "Pages": "Seiten",
        "Password": "Passwort",
        "Patient": "Patient",
        "Patients": "Patienten",
        "Pause": "Anhalten",
        "Paused": "Angehalten",
        "Pipeline": "Pipeline",
        "Port": "Port",
        "Presence": "Vorliegen",
        "Problems": "Probleme",
        "Processes": "Prozesse",
        "Question": "Frage",
        "Reason": "Grund",
        "Reason, without names": "Grund, ohne Namen",
        "Received": "Empfangen",
        "Refused lately": "Kürzlich abgewiesen",
        "Release": "Freigeben",
        "Remedy": "Abhilfe",
        "Remove this study for good": "Diese Studie endgültig entfernen",
        "Report": "Bericht",
        (
            "Research use only. Not a medical device. Not for diagnosis or "
            "treatment decisions."
        ): (
            "Nur für Forschung. Kein Medizinprodukt. Nicht für Diagnose- "
            "oder Behandlungsentscheidungen."
        ),
        "Result": "Ergebnis",
        "Results not delivered": "Nicht zugestellte Ergebnisse",
        "Retry": "Wiederholen",
        "Role": "Rolle",
        "Scores of the last images": "Werte der letzten Bilder",
        "Send again": "Erneut senden",
        "Sender": "Sender",
        "Senders": "Sender",
        "Sent": "Gesendet",
        "Services": "Dienste",
        "Show": "Anzeigen",
        "Show all": "Alle anzeigen",
        "Sign in": "Anmelden",
        "Sign out": "Abmelden",
        "Skip to the content": "Zum Inhalt springen",
        "Skipped": "Übersprungen",
        "State": "Zustand",
        "Statistics": "Statistik",
        "Stop": "Beenden",
        "Stops after the study in hand": "Endet nach der laufenden Studie",
        "Studies": "Studien",
        "Studies in the last hour": "Studien in der letzten Stunde",
        "Studies received in each hour of the last week": (
            "Empfangene Studien je Stunde der letzten Woche"
        ),
        "Study": "Studie",
        "The newest first; the file holds all (PS3.15 A.5).": (
            "Das Neueste zuerst; die Datei enthält alles (PS3.15 A.5)."
        ),
        "The worklist has changed.": "Die Arbeitsliste hat sich geändert.",
        "This did not work": "Das ging nicht",
        "Timeline": "Verlauf",
        "Took": "Dauer",
        "Transfer syntaxes": "Transfersyntaxen",
        "Under way": "Unterwegs",
        "Use": "Verwenden",
        "Validation": "Validierung",
        "Validation, with 95 % intervals over patients": (
            "Validierung, mit 95-%-Intervallen über Patienten"
        ),
        "Value": "Wert",
        "Verification": "Verifikation",
        "Version": "Version",
        "Waiting": "Wartend",
        "Warm after": "Bereit nach",
        "What to type into the modality": "Was in die Modalität einzugeben ist",
        "What would admit it": "Was ihn zulassen würde",
        "Who may send": "Wer senden darf",
        "Worker": "Worker",
        "Workers": "Worker",
        "Worklist": "Arbeitsliste",
        "accepted": "angenommen",
        "all; images are kept as they are sent": (
            "alle; Bilder bleiben, wie sie gesendet werden"
        ),
        "any": "alle",
        "claimed to results kept": "übernommen bis Ergebnisse gesichert",
        "complete to claimed": "vollständig bis übernommen",
        "encrypted": "verschlüsselt",
        "hidden from this account": "für dieses Konto verborgen",
        "leads": "führt",
        "none": "keine",
        "not yet": "noch nicht",
        "overdue": "überfällig",
        "received to complete": "empfangen bis vollständig",
        "received to results kept": "empfangen bis Ergebnisse gesichert",
        "refused": "abgewiesen",
        "revision": "Revision",
        "silent": "verstummt",
        "silent for longer than usual": "länger still als sonst",
        "the address of this machine": "die Adresse dieser Maschine",
        "Complete now": "Jetzt abschließen",
        "No file is here any more.": "Hier liegt keine Datei mehr.",
        "Remarks": "Bemerkungen",
        "Route again": "Erneut zuordnen",
        "Series": "Serie",
        "View": "Ansicht",
        "Which instances a job has left out, and why, is in its report.": (
            "Welche Instanzen ein Auftrag ausgelassen hat und warum, steht in seinem "
            "Bericht."
        ),
        "held": "zurückgehalten",
        "Quarantine": "Quarantäne",
    },
)
