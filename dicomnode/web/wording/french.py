"""The pages in French."""

from dicomnode.web.wording.catalogue import Catalogue

FRENCH = Catalogue(
    "Français",
    {
        "95 % within": "95 % en moins de",
        (
            "A sender that is not listed is refused; Associations shows it "
            "with the lines that admit it."
        ): (
            "Un émetteur absent de la liste est refusé ; la page "
            "Associations le montre avec les lignes qui l'admettent."
        ),
        "Address": "Adresse",
        "Addresses": "Adresses",
        "All its files, results and rows go; what destinations have stays there.": (
            "Tous ses fichiers, résultats et lignes disparaissent ; ce qu'ont les "
            "destinations y reste."
        ),
        "Analysed": "Analysées",
        "Associations": "Associations",
        "At": "Heure",
        "Attempts": "Tentatives",
        "Audit": "Audit",
        "Backfill": "Rattrapage",
        "Bundles": "Modèles",
        "C-STORE of every storage SOP Class, C-ECHO, storage commitment": (
            "C-STORE de toute classe SOP de stockage, C-ECHO, Storage Commitment"
        ),
        "Calibration": "Calibration",
        "Called": "Appelé",
        "Called AE title": "AE title appelé",
        "Calling": "Appelant",
        "Cancel": "Annuler",
        "Chore": "Tâche",
        "Clear": "Effacer",
        "Connect": "Connecter",
        "Deliveries": "Livraisons",
        "Destination": "Destination",
        "Destinations": "Destinations",
        "Device": "Dispositif",
        "Did": "Traités",
        "Done": "Terminé",
        "Drift": "Dérive",
        "Echo": "Echo",
        "Error": "Erreur",
        "Failed": "Échec",
        "Failed jobs": "Tâches en échec",
        "Figure": "Mesure",
        "Filter": "Filtrer",
        "Finding": "Observation",
        "From, to": "De, à",
        "Go on": "Continuer",
        "Hold": "Retenir",
        "Host": "Machine",
        "Hosts": "Machines",
        "Housekeeping": "Entretien",
        "How long it takes": "Durées",
        "How to admit it": "Comment l'admettre",
        "Images": "Images",
        "Instances": "Instances",
        "Job": "Tâche",
        "Jobs": "Tâches",
        "Jobs an hour": "Tâches par heure",
        "Language": "Langue",
        "Last did something": "Dernier travail effectif",
        "Last heard": "Dernier signe",
        "Last run": "Dernière exécution",
        "Median": "Médiane",
        "Modality": "Modalité",
        "Models": "Modèles",
        "Most in one hour": "Maximum en une heure",
        "Name": "Nom",
        "Name or password is wrong.": "Nom ou mot de passe incorrect.",
        "Next attempt": "Prochaine tentative",
        ("No destination is configured; add a [[destination]] to config.toml."): (
            "Aucune destination n'est configurée ; ajoutez un "
            "[[destination]] à config.toml."
        ),
        "No keeper has run yet.": "Aucun keeper n’a encore tourné.",
        "No peer is configured; add a [[peer]] to config.toml.": (
            "Aucun pair n'est configuré ; ajoutez un [[peer]] à config.toml."
        ),
        "No pipeline is configured; add a [[pipeline]] to config.toml.": (
            "Aucun pipeline n'est configuré ; ajoutez un [[pipeline]] à config.toml."
        ),
        "No study here yet. See Connect for how to send one.": (
            "Aucun examen pour l'instant. La page Connecter dit comment en envoyer un."
        ),
        "Nobody has called yet.": "Personne n'a encore appelé.",
        "Not analysed": "Non analysé",
        "Nothing is stuck.": "Rien n'est bloqué.",
        "Nothing is to be sent.": "Rien à envoyer.",
        "Nothing was brought in from an archive yet.": (
            "Rien n’a encore été repris d’une archive."
        ),
        "Nothing was watched yet.": "Rien n'a encore été observé.",
        "Notice": "Avertissement",
        "Older": "Plus anciens",
        "Oldest waiting job": "Tâche en attente la plus ancienne",
        "On": "Sur",
        "Only refused": "Seulement les refusées",
        "Not reached since": "Injoignable depuis",
        "Operating points": "Seuils de décision",
        "Outcome": "Issue",
        "Pages": "Pages",
        "Password": "Mot de passe",
        "Patient": "Patient",
        "Patients": "Patients",
        "Pause": "Suspendre",
        "Paused": "Suspendu",
        "Pipeline": "Pipeline",
        "Port": "Port",
        "Presence": "Présence",
        "Problems": "Problèmes",
        "Processes": "Processus",
        "Question": "Question",
        "Reason": "Raison",
        "Reason, without names": "Motif, sans noms",
        "Received": "Reçu",
        "Refused lately": "Refusés récemment",
        "Release": "Libérer",
        "Remedy": "Remède",
        "Remove this study for good": "Supprimer définitivement cet examen",
        "Report": "Rapport",
        (
            "Research use only. Not a medical device. Not for diagnosis or "
            "treatment decisions."
        ): (
            "Recherche uniquement. Pas un dispositif médical. Ni pour le "
            "diagnostic ni pour le traitement."
        ),
        "Result": "Résultat",
        "Results not delivered": "Résultats non livrés",
        "Retry": "Réessayer",
        "Role": "Rôle",
        "Scores of the last images": "Scores des dernières images",
        "Send again": "Renvoyer",
        "Sender": "Émetteur",
        "Senders": "Émetteurs",
        "Sent": "Envoyé",
        "Services": "Services",
        "Show": "Afficher",
        "Show all": "Tout afficher",
        "Sign in": "Se connecter",
        "Sign out": "Se déconnecter",
        "Skip to the content": "Aller au contenu",
        "Skipped": "Ignorées",
        "State": "État",
        "Statistics": "Statistiques",
        "Stop": "Arrêter",
        "Stops after the study in hand": "S’arrête après l’étude en cours",
        "Studies": "Examens",
        "Studies in the last hour": "Études de la dernière heure",
        "Studies received in each hour of the last week": (
            "Examens reçus à chaque heure de la dernière semaine"
        ),
        "Study": "Examen",
        "The newest first; the file holds all (PS3.15 A.5).": (
            "Le plus récent d'abord ; le fichier contient tout (PS3.15 A.5)."
        ),
        "The worklist has changed.": "La liste de travail a changé.",
        "This did not work": "Cela n'a pas marché",
        "Timeline": "Chronologie",
        "Took": "Durée",
        "Transfer syntaxes": "Syntaxes de transfert",
        "Under way": "En cours",
        "Use": "Utiliser",
        "Validation": "Validation",
        "Validation, with 95 % intervals over patients": (
            "Validation, avec intervalles à 95 % sur les patients"
        ),
        "Value": "Valeur",
        "Verification": "Vérification",
        "Version": "Version",
        "Waiting": "En attente",
        "Warm after": "Prêt après",
        "What to type into the modality": "Ce qu'il faut saisir dans la modalité",
        "What would admit it": "Ce qui l'admettrait",
        "Who may send": "Qui peut envoyer",
        "Worker": "Worker",
        "Workers": "Workers",
        "Worklist": "Liste de travail",
        "accepted": "acceptée",
        "all; images are kept as they are sent": (
            "toutes ; les images sont gardées telles qu'envoyées"
        ),
        "any": "tous",
        "claimed to results kept": "prise jusqu'aux résultats gardés",
        "complete to claimed": "complet jusqu'à la prise",
        "encrypted": "chiffré",
        "hidden from this account": "masqué pour ce compte",
        "leads": "dirige",
        "none": "aucun",
        "not yet": "pas encore",
        "overdue": "en retard",
        "received to complete": "reçu jusqu'à complet",
        "received to results kept": "reçu jusqu'aux résultats gardés",
        "refused": "refusée",
        "revision": "révision",
        "silent": "silencieux",
        "silent for longer than usual": "silencieux plus longtemps que d'habitude",
        "the address of this machine": "l'adresse de cette machine",
        "Complete now": "Terminer maintenant",
        "No file is here any more.": "Il n'y a plus de fichier ici.",
        "Remarks": "Remarques",
        "Route again": "Router à nouveau",
        "Series": "Série",
        "View": "Incidence",
        "Which instances a job has left out, and why, is in its report.": (
            "Le rapport d'une tâche dit quelles instances elle a écartées, et pourquoi."
        ),
        "held": "retenu",
        "Quarantine": "Quarantaine",
    },
)
